//! Where settings come from: command line, environment, `.env`, `libra.toml`, the store, the first that has one.
//!
//! The process's environment is only read, never changed. What a value means is core's matter
//! ([`Config::from_vars`]); a message says where the value stood and never shows a key.

pub(crate) mod dotenv;
mod file;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use libra_core::config::{
    Config, ConfigError, MAX_LIST_BYTES, Notice, VARIABLES, is_secret, list_of, quoted,
};

pub(crate) use self::store::{Place, StoreSettings};
use crate::cli::Options;

/// Everything that was set.
#[derive(Debug)]
pub(crate) struct Settings {
    /// What core knows of.
    pub(crate) config: Config,
    /// What to tell at the start.
    pub(crate) notices: Vec<Notice>,
    /// What is logged: a level, or directives like `info,libra=debug`.
    pub(crate) log: String,
    /// Whether to run with the simulator. Keys, projects, clients, upstream, proxies and custom service are then as if
    /// not set: no real key meets the simulator.
    pub(crate) demo: bool,
    /// The proxies to reach the upstream through.
    pub(crate) proxies: Proxies,
    /// What outlives a restart, and where.
    pub(crate) store: StoreSettings,
    /// Every setting there is, and where it is set.
    pub(crate) shown: Vec<Shown>,
    /// The files that settings come from, whether they are there or not, as they were before they were read.
    pub(crate) files: Vec<(PathBuf, Mark)>,
}

/// What tells one state of a file from another: when it was changed, its length and its number. None: it is not there.
pub(crate) type Mark = Option<(SystemTime, u64, u64)>;

/// A file and its state.
pub(crate) fn marked(path: PathBuf) -> (PathBuf, Mark) {
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino;
    #[cfg(not(unix))]
    let number = |_: &std::fs::Metadata| 0;
    let mark = std::fs::metadata(&path)
        .and_then(|metadata| Ok((metadata.modified()?, metadata.len(), number(&metadata))));
    (path, mark.ok())
}

/// What a look at all settings has brought.
pub(crate) struct Checked {
    pub(crate) shown: Vec<Shown>,
    /// What would end a start.
    pub(crate) problems: Vec<String>,
    /// What a start would tell.
    pub(crate) notices: Vec<String>,
}

/// A setting as it can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) name: &'static str,
    /// What it is set to. None: nothing, or a secret.
    pub(crate) value: Option<String>,
    /// Where it is set. None: nowhere.
    pub(crate) origin: Option<String>,
    /// Whether the store sets it.
    pub(crate) is_of_store: bool,
}

/// Settings that the store adds: variables and their values.
pub(crate) type Stored = BTreeMap<String, String>;

/// Proxy variables as they were written.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Proxies {
    /// For https addresses: `HTTPS_PROXY`.
    pub(crate) https: Option<String>,
    /// For all addresses without another: `ALL_PROXY`.
    pub(crate) all: Option<String>,
    /// The hosts without a proxy: `NO_PROXY`.
    pub(crate) none: Option<String>,
}

/// Proxies' addresses may hold passwords.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = |value: &Option<String>| if value.is_some() { "set" } else { "not set" };
        f.debug_struct("Proxies")
            .field("https", &set(&self.https))
            .field("all", &set(&self.all))
            .field("none", &set(&self.none))
            .finish()
    }
}

/// A setting that cannot be used, as the line that ends the start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SettingsError {
    text: String,
    /// The variable, if it is one and not a file.
    variable: Option<String>,
    /// Whether the store holds it.
    is_of_store: bool,
}

impl SettingsError {
    /// A file that cannot be read.
    fn of_file(text: String) -> Self {
        Self { text, variable: None, is_of_store: false }
    }

    /// The variable that cannot be used, if the store holds it.
    pub(crate) fn stored(&self) -> Option<&str> {
        self.variable.as_deref().filter(|_| self.is_of_store)
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for SettingsError {}

impl From<ConfigError> for SettingsError {
    fn from(error: ConfigError) -> Self {
        Self { text: error.to_string(), variable: Some(error.variable), is_of_store: false }
    }
}

impl Settings {
    /// Reads all settings, with the process's environment and working folder.
    ///
    /// # Errors
    /// The first setting or file that cannot be used.
    pub(crate) fn load(options: &Options) -> Result<Self, SettingsError> {
        Self::load_with(options, &Stored::new())
    }

    /// The same with what the store adds.
    ///
    /// # Errors
    /// The first setting or file that cannot be used.
    pub(crate) fn load_with(options: &Options, stored: &Stored) -> Result<Self, SettingsError> {
        Self::of_layers(&Layers::of(options, environment(), stored, &read_file)?, options, &read_file)
    }

    /// Looks at all settings. What is wrong is left out, so that what else is wrong can be seen.
    pub(crate) fn check(options: &Options) -> Checked {
        /// Whoever has more to repair looks again.
        const MOST: usize = 50;
        let mut layers = match Layers::of(options, environment(), &Stored::new(), &read_file) {
            Ok(layers) => layers,
            Err(error) => {
                return Checked { shown: Vec::new(), problems: vec![error.to_string()], notices: Vec::new() };
            }
        };
        let shown = layers.shown();
        let mut problems = Vec::new();
        let notices = loop {
            match Self::of_layers(&layers, options, &read_file) {
                Ok(settings) => break settings.notices.iter().map(ToString::to_string).collect(),
                Err(error) => {
                    problems.push(error.text);
                    let wrong = error.variable.filter(|_| problems.len() < MOST);
                    if wrong.is_none_or(|wrong| !layers.left_out.insert(wrong)) {
                        break Vec::new();
                    }
                }
            }
        };
        Checked { shown, problems, notices }
    }

    #[cfg(test)]
    fn read(
        options: &Options,
        environment: impl IntoIterator<Item = (String, String)>,
        read_file: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Result<Self, SettingsError> {
        Self::of_layers(&Layers::of(options, environment, &Stored::new(), read_file)?, options, read_file)
    }

    fn of_layers(
        layers: &Layers,
        options: &Options,
        read_file: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Result<Self, SettingsError> {
        let (config, mut notices) = Config::from_vars(
            |name| layers.lookup(name),
            |path| read_file(Path::new(path)).map_err(|error| reason(&error)),
        )
        .map_err(|error| layers.place(error))?;
        let log = layers.lookup("LIBRA_LOG").map_or_else(|| Ok("info".to_owned()), |log| directives(&log));
        let log = log.map_err(|problem| layers.place(ConfigError::new("LIBRA_LOG", problem)))?;
        notices.extend(layers.unknown());
        let proxies = layers.proxies();
        for (variable, proxy) in [("HTTPS_PROXY", &proxies.https), ("ALL_PROXY", &proxies.all)] {
            if proxy.as_deref().is_some_and(|proxy| !proxy.is_empty() && !is_proxy(proxy)) {
                let problem =
                    "is no proxy; write http://HOST:PORT, socks5://HOST:PORT or socks5h://HOST:PORT";
                return Err(layers.place(ConfigError::new(variable, problem)));
            }
        }
        let store = StoreSettings::read(
            options.demo || options.ephemeral,
            |name| layers.lookup(name),
            |name| layers.of_process(name),
        )
        .map_err(|error| layers.place(error))?;
        let shown = layers.shown();
        let files = layers.files.clone().into_iter().chain(layers.list_files()).collect();
        Ok(Self { config, notices, log, demo: options.demo, proxies, store, shown, files })
    }
}

/// The process's environment. A value that is not UTF-8 is refused by whoever reads it, as any other strange value.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

/// Whether an address is one of a proxy that can be used. Without a scheme it is an HTTP proxy's, as elsewhere.
fn is_proxy(address: &str) -> bool {
    let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
    let known = ["http", "socks5", "socks5h"].contains(&scheme.to_ascii_lowercase().as_str());
    let parsed = format!("http://{rest}").parse::<http::Uri>();
    known && parsed.is_ok_and(|address| address.host().is_some_and(|host| !host.is_empty()))
}

/// Reads a file of at most [`MAX_LIST_BYTES`].
pub(crate) fn read_file(path: &Path) -> io::Result<String> {
    let most = MAX_LIST_BYTES as u64;
    let mut text = String::new();
    File::open(path)?.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it has more than {} MiB", most >> 20)));
    }
    Ok(text)
}

/// Why a file cannot be read, in a few words.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    }
}

/// Where a layer of settings comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    CommandLine,
    Environment,
    DotEnv,
    /// A file of settings, by its name.
    File(String),
    Store,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CommandLine => "command line",
            Self::Environment => "environment",
            Self::DotEnv => ".env",
            Self::File(name) => name,
            Self::Store => "store",
        })
    }
}

/// The settings of one place.
struct Layer {
    origin: Origin,
    values: BTreeMap<String, String>,
    /// The lists of keys of which this layer sets any part.
    lists: BTreeSet<&'static str>,
    /// The lines of a file on which variables are set, as far as they are known.
    lines: BTreeMap<String, usize>,
}

impl Layer {
    fn new(origin: Origin, values: impl IntoIterator<Item = (String, String)>) -> Self {
        // Compose files and shells pass on what is not set as nothing, or as a pair of quotes.
        let is_blank = |value: &str| value.chars().all(|c| c.is_whitespace() || matches!(c, '"' | '\''));
        let values: BTreeMap<_, _> = values.into_iter().filter(|(_, value)| !is_blank(value)).collect();
        let lists = values.keys().filter_map(|name| list_of(name)).collect();
        Self { origin, values, lists, lines: BTreeMap::new() }
    }

    fn with_lines(self, lines: impl IntoIterator<Item = (String, usize)>) -> Self {
        Self { lines: lines.into_iter().collect(), ..self }
    }

    fn command_line(options: &Options) -> Self {
        let values = [
            ("LIBRA_LISTEN", &options.listen),
            ("LIBRA_UPSTREAM", &options.upstream),
            ("LIBRA_LOG", &options.log),
            ("LIBRA_DATA", &options.data),
        ];
        let values = values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        Self::new(Origin::CommandLine, values)
    }

    fn dotenv(read_file: &dyn Fn(&Path) -> io::Result<String>) -> Result<Self, SettingsError> {
        let text = match read_file(Path::new(".env")) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(SettingsError::of_file(format!(".env: cannot be read: {}", reason(&error))));
            }
        };
        let values =
            dotenv::parse(&text).map_err(|problem| SettingsError::of_file(format!(".env: {problem}")))?;
        let lines: Vec<_> = values
            .iter()
            .filter_map(|(name, _)| Some(((*name).to_owned(), dotenv::line_of(&text, name)?)))
            .collect();
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value));
        Ok(Self::new(Origin::DotEnv, values).with_lines(lines))
    }

    /// `libra.toml` if it is there, or the file that was named, which must be there.
    fn file(
        named: Option<&Path>,
        read_file: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Result<Self, SettingsError> {
        let path = named.unwrap_or_else(|| Path::new("libra.toml"));
        let name = path.display().to_string();
        let text = match read_file(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => String::new(),
            Err(error) => {
                return Err(SettingsError::of_file(format!("{name}: cannot be read: {}", reason(&error))));
            }
        };
        let values =
            file::parse(&text).map_err(|problem| SettingsError::of_file(format!("{name}: {problem}")))?;
        let lines: Vec<_> = values
            .iter()
            .filter_map(|(variable, _)| Some(((*variable).to_owned(), file::line_of(&text, variable)?)))
            .collect();
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value));
        Ok(Self::new(Origin::File(name), values).with_lines(lines))
    }

    /// Whether this layer decides about a variable: it sets it, or another part of the same list.
    fn decides(&self, name: &str) -> bool {
        list_of(name).map_or_else(|| self.values.contains_key(name), |list| self.lists.contains(list))
    }
}

/// All places, the strongest first.
struct Layers {
    layers: Vec<Layer>,
    demo: bool,
    /// Variables that are as if not set.
    left_out: BTreeSet<String>,
    /// The files of settings, as they were before they were read.
    files: Vec<(PathBuf, Mark)>,
}

impl Layers {
    fn of(
        options: &Options,
        environment: impl IntoIterator<Item = (String, String)>,
        stored: &Stored,
        read_file: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Result<Self, SettingsError> {
        let files = [PathBuf::from(".env"), options.config.clone().unwrap_or_else(|| "libra.toml".into())];
        let files = files.into_iter().map(marked).collect();
        let layers = vec![
            Layer::command_line(options),
            Layer::new(Origin::Environment, environment),
            Layer::dotenv(read_file)?,
            Layer::file(options.config.as_deref(), read_file)?,
            Layer::new(Origin::Store, stored.clone()),
        ];
        Ok(Self { layers, demo: options.demo, left_out: BTreeSet::new(), files })
    }

    /// Every setting there is, and where it is set.
    fn shown(&self) -> Vec<Shown> {
        let shown = |variable: &libra_core::config::Variable| {
            let name = variable.name;
            let list = list_of(name);
            // A list may be set by its parts alone, or by a file.
            let sets = |layer: &&Layer| match list {
                Some(list) => layer.values.keys().any(|set| {
                    list_of(set) == Some(list) && set.strip_prefix(name).is_some_and(is_end_of_part)
                }),
                None => layer.values.contains_key(name),
            };
            let layer = self.deciding(name).filter(sets).filter(|_| self.counts(name));
            let value = layer.and_then(|layer| layer.values.get(name)).filter(|_| !is_secret(name));
            Shown {
                name,
                value: value.map(|value| value.trim().to_owned()),
                origin: layer.map(|layer| layer.origin.to_string()),
                is_of_store: layer.is_some_and(|layer| layer.origin == Origin::Store),
            }
        };
        VARIABLES.iter().map(shown).collect()
    }

    fn counts(&self, name: &str) -> bool {
        let is_left_aside = self.demo && is_left_aside_by_a_demo(name);
        !is_left_aside && !self.left_out.contains(name)
    }

    /// The files that lists are in.
    fn list_files(&self) -> Vec<(PathBuf, Mark)> {
        let names = self.layers.iter().flat_map(|layer| layer.values.keys());
        let named: BTreeSet<&String> =
            names.filter(|name| name.ends_with("_FILE") && list_of(name).is_some()).collect();
        let paths =
            named.into_iter().filter_map(|name| self.lookup(name)).map(|path| PathBuf::from(path.trim()));
        paths.map(marked).collect()
    }

    fn lookup(&self, name: &str) -> Option<String> {
        if !self.counts(name) {
            return None;
        }
        self.deciding(name).and_then(|layer| layer.values.get(name)).cloned()
    }

    /// What the process was started with, whatever else is set.
    fn of_process(&self, name: &str) -> Option<String> {
        let layer = self.layers.iter().find(|layer| layer.origin == Origin::Environment)?;
        layer.values.get(name).cloned()
    }

    fn deciding(&self, name: &str) -> Option<&Layer> {
        self.layers.iter().find(|layer| layer.decides(name))
    }

    /// An error with the name that the setting has in the place where it stands.
    fn place(&self, error: ConfigError) -> SettingsError {
        let ConfigError { variable, problem } = error;
        let layer = self.deciding(&variable);
        let line = layer.and_then(|layer| layer.lines.get(&variable));
        let line = line.map(|line| format!(", line {line}")).unwrap_or_default();
        let origin = layer.map(|layer| &layer.origin);
        let text = match origin {
            Some(Origin::CommandLine) => {
                format!("--{}: {problem}", file::name_of(&variable).replace('_', "-"))
            }
            Some(Origin::DotEnv) => format!("{variable} (.env{line}): {problem}"),
            Some(Origin::File(file)) => format!("{} ({file}{line}): {problem}", file::name_of(&variable)),
            Some(Origin::Store) => format!("{variable} (store): {problem}"),
            Some(Origin::Environment) | None => format!("{variable}: {problem}"),
        };
        SettingsError { text, is_of_store: origin == Some(&Origin::Store), variable: Some(variable) }
    }

    fn proxies(&self) -> Proxies {
        if self.demo {
            return Proxies::default();
        }
        // Tools disagree about the case; where both are set, curl takes the lower-case one.
        let proxy = |name: &str| {
            let lower = name.to_ascii_lowercase();
            let value = |layer: &Layer| layer.values.get(&lower).or_else(|| layer.values.get(name)).cloned();
            self.layers.iter().find_map(value).map(|value| value.trim().to_owned())
        };
        Proxies { https: proxy("HTTPS_PROXY"), all: proxy("ALL_PROXY"), none: proxy("NO_PROXY") }
    }

    /// Names that look like settings and are none, as a mistyped name would otherwise do nothing, silently.
    fn unknown(&self) -> impl Iterator<Item = Notice> {
        /// More are no typing errors.
        const MOST: usize = 20;
        const PREFIXES: [&str; 4] = ["LIBRA_", "BACKUP_API_KEY", "TRUSTED_API_KEY", "CUSTOM_LLM_"];
        let is_known =
            |name: &str| list_of(name).is_some() || VARIABLES.iter().any(|variable| variable.name == name);
        let names = self.layers.iter().flat_map(|layer| layer.values.keys());
        names
            .filter(move |name| {
                PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && !is_known(name.as_str())
            })
            .take(MOST)
            .map(|name| Notice::UnknownVariable {
                name: name.clone(),
                nearest: nearest(name, VARIABLES.iter().map(|variable| variable.name)),
            })
    }
}

/// Whether this is what stands behind a list's name where a part of it is set.
fn is_end_of_part(end: &str) -> bool {
    end.is_empty() || end == "_FILE" || end.trim_start_matches('_').bytes().all(|byte| byte.is_ascii_digit())
}

fn is_left_aside_by_a_demo(name: &str) -> bool {
    list_of(name).is_some()
        || ["LIBRA_PROJECTS", "LIBRA_UPSTREAM"].contains(&name)
        || name.starts_with("CUSTOM_LLM_")
}

/// The known name that differs least, if it differs by few letters only.
fn nearest<T: AsRef<str>>(name: &str, known: impl Iterator<Item = T>) -> Option<T> {
    const MOST_LETTERS: usize = 3;
    known
        .map(|known| (strsim::osa_distance(name, known.as_ref()), known))
        .filter(|(distance, known)| *distance <= MOST_LETTERS && *distance * 2 < known.as_ref().len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Checks what is to be logged: levels, or `module=level`, parted by commas.
fn directives(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let text = text.trim().to_ascii_lowercase();
    for directive in text.split(',').map(str::trim) {
        let (module, level) = directive.split_once('=').unwrap_or(("", directive));
        let is_module = module.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'));
        if !is_module || !LEVELS.contains(&level) {
            return Err(format!(
                "{} is not one of {} (or module=level, parted by commas)",
                quoted(directive),
                LEVELS.join(", ")
            ));
        }
    }
    Ok(text.replace(' ', ""))
}

#[cfg(test)]
mod tests;
