//! Whatever comes in: no panic, within bounds, and what runs is what was read.

use proptest::prelude::*;

use super::*;

/// Pieces of SQL that meet each other in odd ways.
const PIECES: &[&str] = &[
    "CREATE",
    "TABLE",
    "users",
    "t",
    "(",
    ")",
    "a int",
    ",",
    ";",
    "'",
    "''",
    "\"",
    "$$",
    "$a$",
    "--",
    "\n",
    "/*",
    "*/",
    "E'",
    "\\",
    "DROP",
    "ALTER",
    "ADD COLUMN",
    "DEFAULT",
    "now()",
    "::",
    "x'",
    "[",
    "]",
    "`",
    "CREATE TRIGGER g",
    "BEGIN",
    "END",
    "SELECT 1",
    "INDEX CONCURRENTLY",
    "ON",
    "REFERENCES",
    "CASE",
    "WHEN",
    "NOT NULL",
    "é",
    "\u{202e}",
    "\r",
    "\0",
    " ",
    "u&'",
    "->>",
    "?",
    "1e",
    ".5",
    "INSERT INTO t VALUES",
    "WITH x AS",
    "AS (",
    "UNION",
    "WHERE",
    "IN (",
    "ARRAY[",
    "INTERVAL '1'",
    "DATE '",
    "TYPE",
    "ENUM",
    "DO",
    "GRANT",
];

/// Statements that are well known, to be damaged.
const VALID: &[&str] = &[
    "CREATE TABLE t (id uuid PRIMARY KEY, u uuid REFERENCES users (id) ON DELETE CASCADE, n int NOT NULL CHECK (n > 0));",
    "ALTER TABLE users ADD COLUMN a jsonb NOT NULL DEFAULT '{}'::jsonb;",
    "CREATE INDEX CONCURRENTLY i ON users (lower(email)) WHERE old IS NOT NULL;",
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;",
    "CREATE TABLE t (a INT); CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT RAISE(ABORT, 'a;b'); END;",
    "/* a /* b */ c */ INSERT INTO t VALUES (1, 'it''s', E'\\'', $a$;$a$); -- end",
];

/// Judges; checks what must hold for any text.
fn judge(text: &str) -> Result<(), TestCaseError> {
    for engine in [Engine::Postgres, Engine::Sqlite] {
        let set = set(engine, &[text]);
        let review = review_of(&set);
        let mut end = 0;
        for statement in &review.statements {
            prop_assert_eq!(text.get(statement.span.clone()), Some(statement.text));
            prop_assert_eq!(Position::of(text, statement.span.start), statement.position);
            // A body without its end goes on to the end of the file, and is refused.
            if matches!(statement.verdict, Verdict::Allowed(_)) {
                prop_assert_eq!(statement.text, statement.text.trim_matches([' ', '\t', '\n', '\r', ';']));
            }
            prop_assert!(end <= statement.span.start && statement.span.start < statement.span.end);
            end = statement.span.end;
        }
        if let Ok(approved) = review.approve(&[]) {
            prop_assert_eq!(approved.steps().len(), 1);
        }
    }
    Ok(())
}

fn joined(pieces: impl Strategy<Value = &'static str>) -> impl Strategy<Value = String> {
    let piece = (pieces, proptest::sample::select(&["", " "][..]));
    proptest::collection::vec(piece, 0..40)
        .prop_map(|pieces| pieces.into_iter().flat_map(|(piece, blank)| [piece, blank]).collect())
}

proptest! {
    #[test]
    fn any_text_is_judged(text in any::<String>()) {
        judge(&text)?;
    }

    #[test]
    fn any_pieces_of_sql_are_judged(text in joined(proptest::sample::select(PIECES))) {
        judge(&text)?;
    }

    #[test]
    fn any_damage_to_a_migration_is_judged(
        text in joined(proptest::sample::select(VALID)),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), proptest::sample::select(PIECES), 0_usize..9), 1..4),
    ) {
        let mut characters: Vec<char> = text.chars().collect();
        for (place, piece, removed) in changes {
            let at = place.index(characters.len() + 1);
            let until = (at + removed).min(characters.len());
            characters.splice(at..until, piece.chars());
        }
        judge(&characters.into_iter().collect::<String>())?;
    }

    /// What SQLite takes for one statement is what the guard does: nothing is left over of any slice that it can prepare.
    #[test]
    fn sqlite_cuts_where_the_guard_does(text in joined(proptest::sample::select(PIECES))) {
        let database = rusqlite::Connection::open_in_memory().expect("a database");
        database.execute_batch(SQLITE).and_then(|()| database.execute_batch("CREATE TABLE t (a INT)")).expect("a schema");
        let set = set(Engine::Sqlite, &[&text]);
        for statement in review_of(&set).statements {
            let prepared = database.prepare(statement.text);
            let more = matches!(prepared, Err(rusqlite::Error::MultipleStatement));
            prop_assert!(!more, "{}", statement.text);
        }
    }
}

/// In the stack of a usual thread.
#[test]
fn deep_long_and_wide_texts_are_bounded() {
    let repeat = |prefix: &str, part: &str, suffix: &str| {
        let count = (MAX_FILE_BYTES - 100 - prefix.len() - suffix.len()) / part.len();
        format!("{prefix}{}{suffix}", part.repeat(count))
    };
    let nested =
        |open: &str, close: &str, count: usize| format!("SELECT {}1{}", open.repeat(count), close.repeat(count));
    let mut texts = vec![
        repeat("SELECT 1", "+1", ""),
        repeat("SELECT 1", " UNION SELECT 1", ""),
        repeat("SELECT ", "NOT ", "1"),
        repeat("SELECT ", "- ", "1"),
        repeat("SELECT ", "(", ""),
        repeat("SELECT 1", " IS NULL", ""),
        repeat("SELECT 1", "::int", ""),
        repeat("SELECT ", "CASE WHEN 1 THEN ", ""),
        repeat("", "SELECT 1;", ""),
        repeat("", ";", ""),
        repeat("", "/*", ""),
        repeat("", "$a", ""),
        repeat("CREATE TABLE t (a int); INSERT INTO t VALUES (0)", ",(1)", ""),
        repeat("CREATE TABLE t (a0 int", ", a int", ")"),
        repeat("SELECT '", "''", "'"),
        repeat("CREATE TRIGGER g AFTER INSERT ON t BEGIN ", "SELECT 1;", " END"),
        repeat("SELECT 1", " FROM a JOIN b", ""),
        format!("SELECT 1{}", "+1".repeat(MAX_RUN - 10)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(MAX_RUN / 2 - 10)),
        format!("SELECT 1{}", " IS NULL".repeat(MAX_RUN / 2 - 10)),
        format!("SELECT {}1", "NOT ".repeat(MAX_RUN - 10)),
    ];
    for (open, close) in [
        ("(", ")"),
        ("f(", ")"),
        ("(SELECT ", ")"),
        ("ARRAY[", "]"),
        ("CASE WHEN ", " THEN 1 END"),
        ("a[", "]"),
        ("INTERVAL (", ")"),
        ("CAST(", " AS int)"),
        ("(1, ", ")"),
        ("EXISTS (SELECT ", ")"),
        ("1 IN (", ")"),
        ("x -> (", ")"),
    ] {
        texts.push(nested(open, close, MAX_DEPTH));
        texts.push(nested(open, close, MAX_DEPTH + 1));
    }
    for open in ["(", "(SELECT * FROM ", "(a JOIN (", "LATERAL (", "((", "(VALUES ("] {
        let depth = MAX_DEPTH / open.matches('(').count();
        let close = ")".repeat(depth * open.matches('(').count());
        texts.push(format!("SELECT * FROM {}t{close}", open.repeat(depth)));
        texts.push(format!("CREATE VIEW v AS {}SELECT 1{close}", open.repeat(depth)));
    }
    // Half of what a thread has by default.
    let judged = std::thread::Builder::new().stack_size(1024 * 1024).spawn(move || {
        for text in texts {
            judge(&text).expect("it holds");
        }
    });
    judged.expect("a thread").join().expect("no panic");
}

/// The bounds are far from what people write.
#[test]
fn usual_nesting_is_understood() {
    let nested = |open: &str, inner: &str, close: &str, depth: usize| {
        format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
    };
    let rows = [
        format!("CREATE VIEW v AS SELECT * FROM {}", nested("(SELECT * FROM ", "users", ") AS x", 5)),
        format!("CREATE VIEW v AS SELECT 1 WHERE {}", nested("EXISTS (SELECT 1 FROM users WHERE ", "true", ")", 6)),
        format!("CREATE TABLE t (a int CHECK ({}))", nested("(", "a > 0", ")", 12)),
        format!("CREATE TABLE t (a text CHECK ({} <> ''))", nested("lower(", "a", ")", 12)),
        format!(
            "CREATE TABLE t ({})",
            (0..800).map(|n| format!("a{n} int NOT NULL CHECK (a{n} > 0)")).collect::<Vec<_>>().join(", ")
        ),
    ];
    for row in rows {
        let set = set(Engine::Postgres, &[&row]);
        assert_eq!(outcome(&review_of(&set)), "NewObject", "{row}");
    }
}
