//! Where the store is, and for how long.

use std::path::{Path, PathBuf};
use std::time::Duration;

use libra_core::config::{ConfigError, quoted, read_size};
use libra_core::secret::ApiKey;

use crate::store::{Retention, StoreError};

/// A secret that is shorter could be guessed: no slow hash protects it.
const SECRET: usize = 32;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What is set of the store.
#[derive(Debug, Clone)]
pub(crate) struct StoreSettings {
    pub(crate) place: Place,
    /// `LIBRA_SECRET`. None: in a file of the folder.
    pub(crate) secret: Option<ApiKey>,
    /// `LIBRA_SECRET_NEW`: the one that is to follow it.
    pub(crate) new_secret: Option<ApiKey>,
    /// `LIBRA_RETENTION_DAYS` and `LIBRA_RETENTION_SIZE`.
    pub(crate) retention: Retention,
}

/// The data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// None is wanted.
    Nowhere,
    /// The one that was named.
    Named(PathBuf),
    /// None was named: the platform's, where it has one.
    Usual(Option<PathBuf>),
}

impl StoreSettings {
    /// Reads what is set; `of_process` gives variables of the process's environment alone.
    ///
    /// # Errors
    /// The first variable that cannot be used.
    pub(super) fn read(
        ephemeral: bool,
        lookup: impl Fn(&str) -> Option<String>,
        of_process: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let read = |name: &str, default: &str| lookup(name).unwrap_or_else(|| default.to_owned());
        let secret_in = |name: &str| {
            let secret = lookup(name).map(|text| ApiKey::new(&text));
            if secret.as_ref().is_some_and(|secret| secret.expose().chars().count() < SECRET) {
                let problem = format!(
                    "is too short: it needs {SECRET} characters or more that chance has made (openssl rand -base64 32)"
                );
                return Err(ConfigError::new(name, problem));
            }
            Ok(secret)
        };
        let (secret, new_secret) = (secret_in("LIBRA_SECRET")?, secret_in("LIBRA_SECRET_NEW")?);
        let days = read("LIBRA_RETENTION_DAYS", "30");
        let age =
            days.trim().parse().ok().filter(|days| (1..=3650).contains(days)).map(|days: u32| DAY * days);
        let age = age.ok_or_else(|| {
            let problem = format!("{} is no number of days from 1 to 3650", quoted(days.trim()));
            ConfigError::new("LIBRA_RETENTION_DAYS", problem)
        })?;
        let size = read_size(&read("LIBRA_RETENTION_SIZE", "500MB"), 10_000_000, 1_000_000_000_000)
            .map_err(|problem| ConfigError::new("LIBRA_RETENTION_SIZE", problem))?;
        let place = match lookup("LIBRA_DATA").map(|folder| folder.trim().to_owned()) {
            _ if ephemeral => Place::Nowhere,
            Some(folder) if folder.eq_ignore_ascii_case("off") => Place::Nowhere,
            Some(folder) => Place::Named(folder.into()),
            None => Place::Usual(usual_folder(std::env::consts::OS, of_process)),
        };
        Ok(Self { place, secret, new_secret, retention: Retention { age, size } })
    }

    /// The data folder, for commands that cannot do without.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn folder(&self) -> Result<&Path, StoreError> {
        match &self.place {
            Place::Named(folder) | Place::Usual(Some(folder)) => Ok(folder),
            Place::Nowhere | Place::Usual(None) => Err(StoreError::NoFolder),
        }
    }
}

/// `libra` where programs of this system keep the data of whoever runs them.
fn usual_folder(system: &str, variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    // A relative path would be another one with every working folder.
    let folder = |name: &str| variable(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let parent = match system {
        "windows" => folder("LOCALAPPDATA"),
        "macos" => folder("HOME").map(|home| home.join("Library/Application Support")),
        // XDG Base Directory Specification 0.8.
        _ => folder("XDG_DATA_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/share"))),
    };
    parent.map(|parent| parent.join("libra"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_has_its_place() {
        let check = |system: &str, variables: &[(&str, &str)], expected: Option<&str>| {
            let variable = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(usual_folder(system, variable), expected.map(PathBuf::from), "{system} {variables:?}");
        };
        check("linux", &[("HOME", "/home/a")], Some("/home/a/.local/share/libra"));
        check("linux", &[("HOME", "/home/a"), ("XDG_DATA_HOME", "/data")], Some("/data/libra"));
        check("linux", &[("HOME", "/home/a"), ("XDG_DATA_HOME", "data")], Some("/home/a/.local/share/libra"));
        check("freebsd", &[("HOME", "/home/a")], Some("/home/a/.local/share/libra"));
        check("macos", &[("HOME", "/Users/a")], Some("/Users/a/Library/Application Support/libra"));
        check("linux", &[], None);
        check("windows", &[("HOME", "/home/a")], None);
    }

    fn read(variables: &[(&str, &str)]) -> Result<StoreSettings, String> {
        let lookup = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        StoreSettings::read(false, lookup, |_| None).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_are_read() {
        let settings = read(&[]).expect("all have defaults");
        assert_eq!(settings.place, Place::Usual(None));
        assert_eq!(settings.retention, Retention { age: DAY * 30, size: 500_000_000 });
        assert!(settings.secret.is_none() && settings.folder().is_err());
        let settings = read(&[
            ("LIBRA_DATA", " /data "),
            ("LIBRA_RETENTION_DAYS", "7"),
            ("LIBRA_RETENTION_SIZE", "2GiB"),
            ("LIBRA_SECRET", "0123456789abcdef0123456789abcdef"),
        ]);
        let settings = settings.expect("good settings");
        assert_eq!(settings.place, Place::Named("/data".into()));
        assert_eq!(settings.retention, Retention { age: DAY * 7, size: 2 << 30 });
        assert!(settings.secret.is_some() && !format!("{settings:?}").contains("0123456789abcdef0"));
        assert_eq!(read(&[("LIBRA_DATA", "Off")]).map(|settings| settings.place), Ok(Place::Nowhere));
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        let check = |name: &str, value: &str, expected: &str| {
            assert_eq!(read(&[(name, value)]).map(|_| ()), Err(format!("{name}: {expected}")));
        };
        check("LIBRA_RETENTION_DAYS", "0", "\"0\" is no number of days from 1 to 3650");
        check("LIBRA_RETENTION_DAYS", "month", "\"month\" is no number of days from 1 to 3650");
        let error = read(&[("LIBRA_RETENTION_SIZE", "1MB")]).map(|_| ()).expect_err("too small");
        assert!(error.starts_with("LIBRA_RETENTION_SIZE: \"1MB\" is no size from "), "{error}");
        let secret =
            "is too short: it needs 32 characters or more that chance has made (openssl rand -base64 32)";
        check("LIBRA_SECRET", "short", secret);
    }
}
