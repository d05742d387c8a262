//! What a migration may do while the version before it still runs. Pure.
