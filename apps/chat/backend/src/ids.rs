//! Ids of different things are different types: a message's id cannot be asked for a conversation.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

macro_rules! id {
    ($(#[$about:meta])* $name:ident) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        pub(crate) struct $name(pub(crate) Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A conversation, UUIDv7.
    ConversationId
}
id! {
    /// A message, UUIDv7.
    MessageId
}
id! {
    /// A link to a conversation, UUIDv7. It opens nothing; the link's token does.
    ShareId
}
id! {
    /// What the ledger calls the credits it holds back for one answer.
    ReservationId
}
