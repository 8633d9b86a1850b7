//! What to tell at the start although it does not end it.

use std::fmt;

/// Something in the settings that works but is probably not meant. Displays as one line without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A pool is set, and nobody may use it.
    PoolClosed,
    /// Client keys are set, and no pool that they could use.
    ClientsWithoutPool,
    /// Keys of the pool that are client keys too. They were taken out of the pool, as a client key never goes
    /// upstream.
    ClientKeysInPool {
        /// How many.
        count: usize,
    },
    /// Keys that a list holds more than once. Each is used once.
    Duplicates {
        /// The list's plain or former name, whichever was set.
        variable: &'static str,
        /// How many entries were dropped.
        count: usize,
    },
    /// Pool keys that are shorter than any key of Google's: probably cut off, or placeholders.
    ShortKeys {
        /// The list's plain or former name, whichever was set.
        variable: &'static str,
        /// How many.
        count: usize,
    },
    /// Client keys that are short enough to be guessed.
    GuessableClients {
        /// The list's plain or former name, whichever was set.
        variable: &'static str,
        /// How many.
        count: usize,
    },
    /// Projects of which something is said and to which no key belongs.
    ProjectsWithoutKeys {
        /// One of them.
        first: String,
        /// How many.
        count: usize,
    },
    /// Clients are held to paid projects, and no key of the pool belongs to one.
    PaidClientsWithoutPaidProject,
    /// Keys go over the network in the clear.
    PlainHttp {
        /// The variable that holds the address.
        variable: &'static str,
    },
    /// A setting was changed while the gateway runs, and it goes on by the old value.
    NeedsRestart {
        /// The variable.
        variable: &'static str,
    },
    /// A variable that looks like a setting and is none.
    UnknownVariable {
        /// Its name.
        name: String,
        /// The setting whose name is nearest, if one is near.
        nearest: Option<&'static str>,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PoolClosed => f.write_str(
                "The key pool is closed, as no client keys are set. Set TRUSTED_API_KEYS (or LIBRA_CLIENTS) to the \
                 keys that your clients shall send, and restart. 密钥池已关闭：尚未设置客户端密钥。\
                 请将 TRUSTED_API_KEYS（或 LIBRA_CLIENTS）设为客户端要使用的密钥，然后重新启动。",
            ),
            Self::ClientsWithoutPool => f.write_str(
                "client keys are set, but no pool that they could use: set BACKUP_API_KEYS (or LIBRA_KEYS) to \
                 your Gemini keys",
            ),
            Self::ClientKeysInPool { count } => write!(
                f,
                "keys of the pool that are client keys too: {count}; they were taken out of the pool, as a client \
                 key never goes upstream"
            ),
            Self::Duplicates { variable, count } => {
                write!(f, "{variable}: duplicates dropped: {count}")
            }
            Self::ShortKeys { variable, count } => write!(
                f,
                "{variable}: keys that are shorter than Gemini's are: {count}; are they whole?"
            ),
            Self::GuessableClients { variable, count } => write!(
                f,
                "{variable}: keys of fewer than 16 characters, which could be guessed: {count}; use long random ones"
            ),
            Self::ProjectsWithoutKeys { first, count } => write!(
                f,
                "projects to which no key belongs: {count}, \"{first}\" among them; write project:KEY"
            ),
            Self::PaidClientsWithoutPaidProject => f.write_str(
                "LIBRA_PAID_CLIENTS is set, but no key belongs to a project whose tier is paid: these clients \
                 cannot be served",
            ),
            Self::PlainHttp { variable } => {
                write!(f, "{variable}: keys are sent over plain http, where others can read them; use https")
            }
            Self::NeedsRestart { variable } => {
                write!(f, "{variable}: has changed, and counts from the next start on")
            }
            Self::UnknownVariable { name, nearest } => {
                // Names come from the environment and may hold anything.
                write!(f, "{:.64} is set, but there is no such setting", name.escape_debug().to_string())?;
                match nearest {
                    Some(nearest) => write!(f, "; is {nearest} meant?"),
                    None => Ok(()),
                }
            }
        }
    }
}
