//! Second factors: codes of an app that change every 30 seconds (RFC 6238), and codes for when the app is lost.

use totp_rs::{Algorithm, Builder, Secret, Totp};

/// As any app does them: SHA-1, six digits, 30 seconds; one step early or late is good.
const DIGITS: u8 = 6;
const STEP_S: u64 = 30;
const SKEW: u16 = 1;
/// Recovery codes that somebody gets.
const CODES: usize = 10;
/// Of each: 80 bits, which nobody guesses.
const CODE_BYTES: usize = 10;

/// A new secret, in base 32.
pub(crate) fn secret() -> String {
    Secret::from(rand::random::<[u8; 20]>().to_vec()).to_base32()
}

/// New recovery codes: `abcd-efgh-ijkl-mnop`.
pub(crate) fn recovery_codes() -> Vec<String> {
    let code = || {
        let bytes: [u8; CODE_BYTES] = rand::random();
        let letters = Secret::from(bytes.to_vec()).to_base32().to_lowercase();
        let groups: Vec<&str> =
            (0..letters.len()).step_by(4).filter_map(|at| letters.get(at..(at + 4).min(letters.len()))).collect();
        groups.join("-")
    };
    (0..CODES).map(|_| code()).collect()
}

/// A recovery code as it was given, however it is typed.
pub(crate) fn as_recovery_code(typed: &str) -> String {
    let letters: Vec<char> = typed.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    letters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

fn totp(secret: &str) -> Option<Totp> {
    let secret = Secret::try_from_base32(secret).ok()?;
    let totp = Builder::new().with_algorithm(Algorithm::SHA1).with_digits(DIGITS).with_skew(SKEW);
    totp.with_step_duration(STEP_S).with_secret(secret).build().ok()
}

/// The step that a code is of, if it is of now or next to it.
pub(crate) fn step(secret: &str, typed: &str, now_s: i64) -> Option<i64> {
    let digits: String = typed.chars().filter(char::is_ascii_digit).collect();
    let step = totp(secret)?.check(&digits, u64::try_from(now_s).ok()?)?;
    i64::try_from(step).ok()
}

/// What an app reads: `otpauth://totp/…`.
pub(crate) fn link(secret: &str, host: &str, name: &str) -> String {
    // Names hold letters, digits and - _ . @ only.
    let name = name.replace('@', "%40");
    format!("otpauth://totp/{host}:{name}?secret={secret}&issuer={host}&algorithm=SHA1&digits={DIGITS}&period={STEP_S}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `12345678901234567890`, the secret of RFC 6238's examples.
    const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    #[test]
    fn codes_are_those_of_the_standard_for_a_moment_before_and_after() {
        // RFC 6238, appendix B, the last six digits.
        for (at, code) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            assert_eq!(step(SECRET, code, at), Some(at / 30), "{at}");
        }
        assert_eq!(step(SECRET, "287 082", 59), Some(1), "typed as the app shows it");
        assert_eq!(step(SECRET, "287082", 89), Some(1));
        assert_eq!(step(SECRET, "287082", 90), None);
        for wrong in ["", "287083", "28708", "2870820", "abcdef"] {
            assert_eq!(step(SECRET, wrong, 59), None, "{wrong}");
        }
        assert_eq!(step("not base 32!", "287082", 59), None);
    }

    #[test]
    fn new_secrets_are_good_ones_and_differ() {
        let (one, other) = (secret(), secret());
        assert_ne!(one, other);
        assert!(totp(&one).is_some());
        let codes = recovery_codes();
        assert_eq!(codes.len(), CODES);
        assert!(
            codes.iter().all(|code| code.len() == 19 && as_recovery_code(&code.to_uppercase()) == *code),
            "{codes:?}"
        );
        assert_eq!(as_recovery_code(" ABCD efgh-ijklmnop "), "abcd-efgh-ijkl-mnop");
    }

    #[test]
    fn an_app_reads_the_link() {
        assert_eq!(
            link(SECRET, "ops.example.com", "ada@example.com"),
            format!(
                "otpauth://totp/ops.example.com:ada%40example.com?secret={SECRET}&issuer=ops.example.com&algorithm=SHA1&digits=6&period=30"
            )
        );
    }
}
