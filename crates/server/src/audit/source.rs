//! Where the pool comes from: the settings, another gateway's environment file, or a plain list.
//!
//! A file is read by the same rules as the settings, so that the audit counts what Libra would take over. Keys
//! that clients send are read, too: none of them may go upstream as a key of the pool.

use std::collections::BTreeMap;
use std::path::Path;

use libra_core::config::{Config, ConfigError, Notice, PoolKey, list_of};

use crate::settings::{self, Settings, dotenv};

/// The pool under audit.
#[derive(Debug)]
pub(super) struct Pool {
    /// Where it comes from, for people.
    pub(super) source: String,
    /// The different keys, in their order.
    pub(super) keys: Vec<PoolKey>,
    /// How many entries were there already.
    pub(super) doubles: usize,
    /// How many keys clients have. They are not asked about.
    pub(super) clients: usize,
    /// What else is to be said about the list.
    pub(super) notices: Vec<String>,
}

/// gemini-balance's names, and the lists that they are here. Its names may be in any case.
const FOREIGN: [(&str, &str); 3] =
    [("API_KEYS", "LIBRA_KEYS"), ("ALLOWED_TOKENS", "LIBRA_CLIENTS"), ("AUTH_TOKEN", "LIBRA_CLIENTS_1")];

/// The pool of `file`, or else the one that is set.
///
/// # Errors
/// What cannot be used, as a line that shows no key.
pub(super) fn pool(settings: &Settings, file: Option<&Path>) -> Result<Pool, String> {
    let pool = match file {
        None if settings.demo => Pool::new("the demonstration's", &settings.config, &[]),
        None => Pool::new("the settings", &settings.config, &settings.notices),
        Some(_) if settings.demo => {
            return Err("--env: no real key meets the simulator; leave --demo away".to_owned());
        }
        Some(path) => {
            let name = path.display().to_string();
            let text = settings::read_file(path)
                .map_err(|error| format!("{name}: cannot be read: {}", settings::reason(&error)))?;
            read(&name, &text).map_err(|problem| format!("{name}: {problem}"))?
        }
    };
    match (pool.keys.is_empty(), file) {
        (true, None) => Err("no keys to audit: set LIBRA_KEYS, or name a file with --env".to_owned()),
        (true, Some(_)) => Err(format!(
            "{}: no keys in it; they stand in API_KEYS, BACKUP_API_KEYS or LIBRA_KEYS, or one a line",
            pool.source
        )),
        (false, _) => Ok(pool),
    }
}

/// The pool in a file's text.
fn read(name: &str, text: &str) -> Result<Pool, String> {
    let variables = if is_environment(text) { environment(text)? } else { list(text) };
    let (config, notices) = Config::from_vars(
        |name| variables.get(name).cloned(),
        |path| settings::read_file(Path::new(path)).map_err(|error| settings::reason(&error)),
    )
    .map_err(|error| placed(error, &variables))?;
    Ok(Pool::new(name, &config, &notices))
}

/// Whether a file sets variables. One line that does is enough: taken for a list, the names and everything
/// else that stands in such a file would be sent to Google as keys.
fn is_environment(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim_start_matches('\u{feff}').trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line);
        line.split_once('=').is_some_and(|(name, _)| {
            let name = name.trim();
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        })
    })
}

/// The lists of keys in an environment file, under the names that they have here. All else is left aside.
fn environment(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut variables = BTreeMap::new();
    for (name, value) in dotenv::parse(text)? {
        let name = name.to_ascii_uppercase();
        let foreign = FOREIGN.iter().find(|(foreign, _)| *foreign == name);
        let name = foreign.map_or(name, |(_, ours)| (*ours).to_owned());
        if list_of(&name).is_some() {
            variables.insert(name, value);
        }
    }
    Ok(variables)
}

/// A list, a key a line, with comments.
fn list(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(|line| {
        let comment = line.match_indices('#').map(|(at, _)| at).find(|at| {
            // A key may have one inside.
            line[..*at].chars().next_back().is_none_or(char::is_whitespace)
        });
        comment.map_or(line, |at| &line[..at])
    });
    BTreeMap::from([("LIBRA_KEYS".to_owned(), lines.collect::<Vec<_>>().join("\n"))])
}

/// An error with the name that a variable has in the file.
fn placed(error: ConfigError, variables: &BTreeMap<String, String>) -> String {
    let ConfigError { variable, problem } = error;
    // A plain list and gemini-balance's names stand under one of ours.
    if variables.len() == 1 && variable == "LIBRA_KEYS" {
        return problem;
    }
    let foreign = FOREIGN.iter().find(|(_, ours)| *ours == variable).map(|(foreign, _)| *foreign);
    match foreign {
        Some(foreign) => format!("{foreign} ({variable}): {problem}"),
        None => format!("{variable}: {problem}"),
    }
}

impl Pool {
    fn new(source: &str, config: &Config, notices: &[Notice]) -> Self {
        let doubles = notices.iter().map(|notice| match notice {
            Notice::Duplicates { variable: "LIBRA_KEYS" | "BACKUP_API_KEYS", count } => *count,
            _ => 0,
        });
        // The lists may have other names in the file than here.
        let concern = |notice: &Notice| match notice {
            Notice::ShortKeys { count, .. } => {
                Some(format!("keys that are shorter than Gemini's are: {count}; are they whole?"))
            }
            Notice::ClientKeysInPool { .. } | Notice::PlainHttp { .. } => Some(notice.to_string()),
            _ => None,
        };
        Self {
            source: source.to_owned(),
            keys: config.keys.clone(),
            doubles: doubles.sum(),
            clients: config.clients.len(),
            notices: notices.iter().filter_map(concern).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, keys: &[&str], doubles: usize, clients: usize) {
        let pool = read("pool.env", text).unwrap_or_else(|problem| panic!("{text:?}: {problem}"));
        let found: Vec<String> = pool
            .keys
            .iter()
            .map(|entry| match &entry.project {
                Some(project) => format!("{project}:{}", entry.key.expose()),
                None => entry.key.expose().to_owned(),
            })
            .collect();
        assert_eq!(found, keys, "{text:?}");
        assert_eq!((pool.doubles, pool.clients), (doubles, clients), "{text:?}");
    }

    #[test]
    fn pools_are_read_as_other_gateways_write_them() {
        let balance = "# settings\nDATABASE_TYPE=sqlite\nAPI_KEYS=[\"key-a\",\"key-b\",\"key-a\"]\n\
                       ALLOWED_TOKENS=[\"token-1\", \"token-2\"]\nAUTH_TOKEN=token-1\nPAID_KEY=key-p\n\
                       TEST_MODEL=gemini-1.5-flash\nBASE_URL=https://upstream.example/v1beta\n";
        check(balance, &["key-a", "key-b"], 1, 2);
        check("api_keys=[\"key-a\"]\nauth_token=t\n", &["key-a"], 0, 1);
        check("API_KEYS='[\"key-a\",\n\"key-b\"]'\n", &["key-a", "key-b"], 0, 0);
        check("API_KEYS=key-a,key-b\r\n", &["key-a", "key-b"], 0, 0);
        check("BACKUP_API_KEYS=key-a,key-b,key-b\nTRUSTED_API_KEYS=t\n", &["key-a", "key-b"], 1, 1);
        check("export LIBRA_KEYS_1=p:key-a\nLIBRA_KEYS_2=key-b\n", &["p:key-a", "key-b"], 0, 0);
        check("API_KEYS=[\"key-a\",\"token-1\"]\nAUTH_TOKEN=token-1\n", &["key-a"], 0, 1);
        check(
            "\u{feff}key-a\r\nkey-b # mine\n\n# none\nteam:key-c\nkey#d\n",
            &["key-a", "key-b", "team:key-c", "key#d"],
            0,
            0,
        );
        check("[\"key-a\",\n \"key-b\"]\n", &["key-a", "key-b"], 0, 0);
        check("key-a, key-b; key-a", &["key-a", "key-b"], 1, 0);
        check("", &[], 0, 0);
        check("PORT=8000\n", &[], 0, 0);
        check("API_KEYS=[]\n", &[], 0, 0);
    }

    #[test]
    fn errors_say_where_and_hide_the_key() {
        let check = |text: &str, expected: &str| {
            assert_eq!(read("pool.env", text).expect_err(text), expected);
        };
        check("API_KEYS=[\"key-a\"\nsecret,\n", "line 2 is not of the form NAME=VALUE");
        check("key-a\nAUTH_TOKEN=secret\n", "line 1 is not of the form NAME=VALUE");
        check("key-a\n密钥\n", "entry 2: character 1 is not a visible ASCII character");
        check(
            "API_KEYS=key-a\nALLOWED_TOKENS=[\"密码\"]\n",
            "ALLOWED_TOKENS (LIBRA_CLIENTS): entry 1: character 1 is not a visible ASCII character",
        );
        check(
            "API_KEYS=key-a\nBACKUP_API_KEYS=key-b\n",
            "API_KEYS (LIBRA_KEYS): is set and differs from BACKUP_API_KEYS, which means the same: set only one of \
             them",
        );
    }
}
