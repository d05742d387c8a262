//! The reasons for refusing, and what to do instead: one variant a reason, one row of [`Rule::advice`] each.
//!
//! To add one: the variant, its row, and a row of the corpus for every engine it applies to (`tests/corpus_*.rs`).

/// Why a statement is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each variant's text is its row in `advice`, and would only be repeated")]
pub enum Rule {
    DropsObject,
    DropsColumn,
    DropsConstraint,
    Renames,
    ChangesType,
    SetsNotNull,
    DropsNotNull,
    ChangesDefault,
    NotNullWithoutDefault,
    VolatileDefault,
    UnknownType,
    GeneratedColumn,
    ScansTable,
    UniqueOnExisting,
    BlockingIndex,
    UnnamedIndex,
    RiskyIndex,
    HoldsBlue,
    RefersToNew,
    TriggerOnExisting,
    CallableFunction,
    Replaces,
    IfNotExists,
    Temporary,
    CopiesData,
    FillsAtOnce,
    ChangesData,
    SideEffects,
    Procedure,
    Copy,
    Transaction,
    Session,
    Maintenance,
    Locks,
    Privileges,
    OwnFile,
    UnclearName,
    WrongEngine,
    Unparsed,
    Unknown,
}

/// What a refusal says besides what the statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    /// Stable name, for machines.
    pub code: &'static str,
    /// How the running version could trip, or whom the statement would lock out.
    pub why: &'static str,
    /// What to do.
    pub instead: &'static str,
}

impl Rule {
    /// Whether an override may let the statement run: not what would break the runner's own transaction or connection, or
    /// cannot run at all.
    pub fn can_be_overridden(self) -> bool {
        !matches!(
            self,
            Self::Transaction | Self::Session | Self::Copy | Self::Maintenance | Self::OwnFile | Self::WrongEngine
        )
    }

    /// Its row of the table.
    pub fn advice(self) -> Advice {
        let advice = |code, why, instead| Advice { code, why, instead };
        match self {
            Self::DropsObject => advice(
                "drops-object",
                "the running version may still use it, and data is lost for good",
                "stop using it in one release; drop it in a later one, by an override, once no running version knows it",
            ),
            Self::DropsColumn => advice(
                "drops-column",
                "the running version still reads or writes the column",
                "stop using it in one release; drop it in a later one, by an override, once no running version knows it",
            ),
            Self::DropsConstraint => advice(
                "drops-constraint",
                "the running version may rely on it (ON CONFLICT needs its index, deletions its cascade), and would read what it forbids",
                "drop it by an override once no running version relies on it",
            ),
            Self::Renames => advice(
                "renames",
                "the running version only knows the old name",
                "add the new one, write both, copy, read the new one; drop the old one in a later release",
            ),
            Self::ChangesType => advice(
                "changes-type",
                "it rewrites the table while all access waits, and the running version still sends and reads the old type",
                "add a column of the new type, write both, copy in batches, switch; drop the old one in a later release",
            ),
            Self::SetsNotNull => advice(
                "sets-not-null",
                "it reads the whole table while all access waits, and the running version may still write NULL",
                "add CHECK (column IS NOT NULL) NOT VALID, validate it in a file of its own; set NOT NULL later, by an override",
            ),
            Self::DropsNotNull => advice(
                "drops-not-null",
                "the running version would read NULL where it never was",
                "let a release read NULL first; then drop it, by an override",
            ),
            Self::ChangesDefault => advice(
                "changes-default",
                "what the running version inserts would change under it",
                "write the value in the new version's own statements, or add a new column",
            ),
            Self::NotNullWithoutDefault => advice(
                "not-null-without-default",
                "the running version does not write the column, so every insert of it would fail",
                "give it a constant default, or make it nullable now and NOT NULL in a later release",
            ),
            Self::VolatileDefault => advice(
                "volatile-default",
                "a default that is not constant is computed for each row: the table is rewritten while all access waits (SQLite refuses it)",
                "add the column without a default, then ALTER COLUMN … SET DEFAULT, then fill old rows in batches by a job",
            ),
            Self::UnknownType => advice(
                "unknown-type",
                "the type may be a domain, whose checks rewrite the table while all access waits",
                "use a built-in type, or an enum that a migration of this service creates",
            ),
            Self::GeneratedColumn => advice(
                "generated-column",
                "it is computed for each row, within the table's lock or on every read of the running version",
                "add a plain column and fill it by the application, or compute it in a view",
            ),
            Self::ScansTable => advice(
                "scans-table",
                "it reads the whole table while writing waits",
                "add the column plainly, then the constraint as NOT VALID, then VALIDATE CONSTRAINT in a file of its own",
            ),
            Self::UniqueOnExisting => advice(
                "unique-on-existing",
                "the running version may write what it forbids",
                "make sure that the running version never does, then override; on PostgreSQL build the index CONCURRENTLY",
            ),
            Self::BlockingIndex => advice(
                "blocking-index",
                "all writing to the table waits until it is built",
                "CREATE INDEX CONCURRENTLY, in a file of its own",
            ),
            Self::UnnamedIndex => advice(
                "unnamed-index",
                "if it is interrupted, its invalid rest cannot be found",
                "give the index a name",
            ),
            Self::RiskyIndex => advice(
                "risky-index",
                "an expression that fails for a row makes the running version's write fail",
                "index plain columns, or lower(), upper(), trim(), length() and coalesce() of them, under simple comparisons",
            ),
            Self::HoldsBlue => advice(
                "holds-blue",
                "deletions of the running version would fail on rows that it does not know",
                "refer to it ON DELETE CASCADE, or ON DELETE SET NULL from a nullable column; or without a foreign key until later",
            ),
            Self::RefersToNew => advice(
                "refers-to-new",
                "the running version writes the column without knowing which values the new table has, so its writes would fail",
                "put the key on a column that this set adds, or add it in the next release",
            ),
            Self::TriggerOnExisting => advice(
                "trigger-on-existing",
                "it would run within the running version's own statements",
                "do it in the application; SQLite: insert plain values into, and delete from, tables that this set makes and that refuse nothing (no NOT NULL, UNIQUE, CHECK, key or trigger); or refuse what is inserted WHEN NEW.column IS NOT NULL AND …, of a column that this set adds without a default",
            ),
            Self::CallableFunction => advice(
                "callable-function",
                "a new function may be chosen for calls of the running version, and its body is code that no guard sees through",
                "create functions that RETURN trigger only, or do it in the application",
            ),
            Self::Replaces => {
                advice("replaces", "the running version uses what is replaced", "create it under a new name")
            }
            Self::IfNotExists => advice(
                "if-not-exists",
                "what is there may have another shape (an index may be invalid), and nobody would notice; the history says what has run",
                "leave out IF EXISTS and IF NOT EXISTS",
            ),
            Self::Temporary => advice(
                "temporary",
                "it hides a table of the same name, on this connection only",
                "use a permanent name",
            ),
            Self::CopiesData => advice(
                "copies-data",
                "the running version goes on writing, so the copy is out of date at once, and it may take long",
                "write both in the new version; copy old rows in batches by a job after the cutover",
            ),
            Self::FillsAtOnce => advice(
                "fills-at-once",
                "it goes through all rows while the running version's writes wait, and the database holds more than 8 MiB, or nobody could say how much",
                "fill it in batches by a job of the new version; or override, if the wait is short enough",
            ),
            Self::ChangesData => advice(
                "changes-data",
                "the running version would read what it did not write, and its writes wait for the rows",
                "change data in batches by a job of the new version; or override, if blue is known to bear it",
            ),
            Self::SideEffects => advice(
                "side-effects",
                "a call may change or lock anything, and the guard cannot see what",
                "write constants; now(), gen_random_uuid() and the like are known to be harmless",
            ),
            Self::Procedure => advice(
                "procedure",
                "procedural code can do anything, and the guard cannot see what",
                "write the statements themselves",
            ),
            Self::Copy => advice(
                "copy",
                "it reads from a stream or a file that the runner does not have",
                "use INSERT, or load the data by a job",
            ),
            Self::Transaction => advice(
                "transaction",
                "the runner opens and ends the transactions, so that a file runs wholly or not at all",
                "leave it out; what must be committed earlier goes to a file of its own",
            ),
            Self::Session => advice(
                "session",
                "it changes how later statements are understood and how long they may wait",
                "leave it out; the runner sets what is needed",
            ),
            Self::Maintenance => advice(
                "maintenance",
                "it is no change of the schema, and cannot run within a migration",
                "leave it to the engine, or run it by hand",
            ),
            Self::Locks => advice("locks", "the running version waits for it", "leave it out"),
            Self::Privileges => advice(
                "privileges",
                "the running version may lose access, or everyone may get it",
                "grant to named roles only; take privileges away by an override once nothing needs them",
            ),
            Self::OwnFile => advice(
                "own-file",
                "it runs outside of a transaction, or must be committed before others, so a file with more could be left half-run",
                "move it to a file of its own",
            ),
            Self::UnclearName => advice(
                "unclear-name",
                "the name has more parts or bytes than the engine keeps, so that it may mean something else",
                "use NAME or SCHEMA.NAME with at most 63 bytes each",
            ),
            Self::WrongEngine => {
                advice("wrong-engine", "the engine cannot run it", "write it in this engine's own SQL")
            }
            Self::Unparsed => advice(
                "unparsed",
                "the guard does not understand it, so it cannot say what it does",
                "write it in a simpler form, or override it",
            ),
            Self::Unknown => advice(
                "unknown",
                "it is not on the list of what is known to be harmless",
                "see the list of what is allowed, or override it",
            ),
        }
    }
}
