//! Known vulnerabilities in what a release is built of, and secrets that got into it.
