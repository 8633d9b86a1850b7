//! The clients' packages: virtual environments from PyPI and folders from npm, made anew when their list has changed.
//!
//! Every package is pinned, those included that only other packages want. Node.js itself comes as a wheel from PyPI,
//! so that Python is all that has to be there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use xtask::command::{self, ask, root};

use super::clients::{Client, Home};

/// The environment that has Node.js in it.
const NODE: &str = "node";
/// A list may say which Pythons its packages can be had for, in a line that starts so: `# python < 3.13`.
const NEWEST_PYTHON: &str = "# python < 3.";
/// Packages whose install script has to run: it puts the program for this machine in its place, out of another package.
/// No other package's script runs; some would download or compile.
const SCRIPTED: [&str; 1] = ["@anthropic-ai/claude-code"];
/// Where a Python is looked for: first the usual one, then by version, for packages that cannot have the newest.
const PYTHONS: [&str; 5] = ["python3", "python3.13", "python3.12", "python3.11", "python3.10"];

/// What is installed, and where.
pub(crate) struct Installed {
    folder: PathBuf,
    /// Homes for which this machine is not made, and why.
    missing: BTreeMap<Home, String>,
}

impl Installed {
    /// Installs what `homes` need. A home that this machine cannot have is remembered with the reason; that something
    /// cannot be installed that should be is an error.
    pub(crate) fn make(folder: &Path, homes: impl IntoIterator<Item = Home>) -> Result<Self, String> {
        let mut installed = Self { folder: folder.to_owned(), missing: BTreeMap::new() };
        for home in homes {
            match home {
                Home::Python(list) => match suitable_python(&read(&requirements(list))?) {
                    Ok(python) => installed.environment(list, python)?,
                    Err(why) => {
                        installed.missing.insert(home, why);
                    }
                },
                Home::Node(name) | Home::Programs(name) => {
                    let python = suitable_python(&read(&requirements(NODE))?)?;
                    installed.environment(NODE, python)?;
                    installed.modules(name)?;
                }
            }
        }
        Ok(installed)
    }

    /// The command that runs a script of `home`, or why there is none.
    pub(crate) fn command(&self, home: Home, script: &str) -> Result<Command, String> {
        if let Some(why) = self.missing.get(&home) {
            return Err(why.clone());
        }
        match home {
            Home::Python(_) | Home::Programs(_) => {
                let list = if let Home::Python(list) = home { list } else { NODE };
                let mut command = self.python(list);
                command.arg(sources().join(script));
                Ok(command)
            }
            Home::Node(name) => {
                let mut command = Command::new(self.programs(NODE).join("node"));
                // A module finds its packages beside itself, so it runs from the copy beside them.
                let script = Path::new(script).file_name().ok_or("a script has a name")?;
                command.arg(self.folder.join(name).join(script));
                Ok(command)
            }
        }
    }

    /// The Python of a list's environment.
    pub(crate) fn python(&self, list: &str) -> Command {
        Command::new(self.programs(list).join("python"))
    }

    /// The folder with a list's programs.
    fn programs(&self, list: &str) -> PathBuf {
        self.folder.join(format!("venv-{list}")).join("bin")
    }

    /// The variable `PATH`: an environment's programs, Node.js, and whatever the machine has.
    pub(crate) fn path(&self, home: Home) -> String {
        let own = match home {
            Home::Python(list) => self.programs(list),
            Home::Node(name) | Home::Programs(name) => self.folder.join(name).join("node_modules/.bin"),
        };
        let system = env::var("PATH").unwrap_or_default();
        format!("{}:{}:{system}", own.display(), self.programs(NODE).display())
    }

    fn environment(&self, list: &str, python: &str) -> Result<(), String> {
        let requirements = requirements(list);
        let wanted = read(&requirements)?;
        let folder = self.folder.join(format!("venv-{list}"));
        let stamp = folder.join("requirements.txt");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        println!("Installing {list} from PyPI into {}.", folder.display());
        command::run(Command::new(python).args(["-m", "venv", "--clear"]).arg(&folder))?;
        command::run(
            self.python(list)
                .args(["-m", "pip", "install", "--quiet", "--no-deps", "--requirement"])
                .arg(&requirements),
        )?;
        command::run(self.python(list).args(["-m", "pip", "check"]))?;
        fs::write(&stamp, wanted).map_err(|error| format!("cannot write {}: {error}", stamp.display()))
    }

    fn modules(&self, name: &str) -> Result<(), String> {
        let (from, to) = (sources().join(name), self.folder.join(name));
        fs::create_dir_all(&to).map_err(|error| format!("cannot make {}: {error}", to.display()))?;
        for script in files(&from)?.into_iter().filter(|file| file.ends_with(".mjs")) {
            copy(&from.join(&script), &to.join(&script))?;
        }
        let wanted = read(&from.join("package-lock.json"))?;
        let stamp = to.join("node_modules/.installed-lock.json");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        println!("Installing {name} from npm into {}.", to.display());
        for file in ["package.json", "package-lock.json"] {
            copy(&from.join(file), &to.join(file))?;
        }
        let npm = |arguments: &[&str]| {
            command::run(
                Command::new(self.programs(NODE).join("npm"))
                    .args(arguments)
                    .args(["--no-audit", "--no-fund", "--loglevel=error"])
                    .env("PATH", self.path(Home::Python(NODE)))
                    .current_dir(&to),
            )
        };
        npm(&["ci", "--ignore-scripts"])?;
        let lock = &wanted;
        let scripted =
            SCRIPTED.iter().filter(|package| lock.contains(&format!("\"node_modules/{package}\"")));
        let rebuild: Vec<&str> = ["rebuild"].iter().chain(scripted).copied().collect();
        if rebuild.len() > 1 {
            npm(&rebuild)?;
        }
        fs::write(&stamp, wanted).map_err(|error| format!("cannot write {}: {error}", stamp.display()))
    }
}

/// The versions of a client's packages, as pinned.
pub(super) fn versions(client: &Client) -> String {
    let (list, before, after) = match client.home {
        Home::Python(list) => (format!("requirements/{list}.txt"), "", "=="),
        Home::Node(name) | Home::Programs(name) => (format!("{name}/package.json"), "\"", "\": \""),
    };
    let pins = read(&sources().join(list)).unwrap_or_default();
    let version = |package: &str| {
        let start = format!("{before}{package}{after}");
        let line = pins.lines().find_map(|line| line.trim().strip_prefix(&start)).unwrap_or("?");
        line.trim_end_matches([',', '"']).to_owned()
    };
    match client.packages {
        [package] => version(package),
        packages => {
            let named = packages.iter().map(|package| format!("{package} {}", version(package)));
            named.collect::<Vec<_>>().join(", ")
        }
    }
}

/// A Python that the packages of a list can be had for.
fn suitable_python(list: &str) -> Result<&'static str, String> {
    const PRINT_MINOR: &str = "import sys; print(sys.version_info.minor)";
    let limit = list.lines().find_map(|line| line.strip_prefix(NEWEST_PYTHON)?.trim().parse::<u32>().ok());
    PYTHONS
        .into_iter()
        .find(|python| {
            let minor = ask(Command::new(python).args(["-c", PRINT_MINOR]));
            minor
                .and_then(|minor| minor.parse::<u32>().ok())
                .is_some_and(|minor| minor >= 10 && limit.is_none_or(|limit| minor < limit))
        })
        .ok_or_else(|| match limit {
            Some(limit) => format!("needs a Python from 3.10 to 3.{}", limit - 1),
            None => "needs Python 3.10 or newer".to_owned(),
        })
}

/// The list of an environment's packages.
fn requirements(list: &str) -> PathBuf {
    sources().join("requirements").join(format!("{list}.txt"))
}

/// Where the scripts and the lists are.
pub(super) fn sources() -> PathBuf {
    root().join("xtask/conformance")
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to)
        .map(|_| ())
        .map_err(|error| format!("cannot copy {} to {}: {error}", from.display(), to.display()))
}

fn files(folder: &Path) -> Result<Vec<String>, String> {
    let entries =
        fs::read_dir(folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::super::clients::CLIENTS;
    use super::*;

    #[test]
    fn every_client_is_pinned_and_has_its_script() {
        for client in CLIENTS {
            let versions = versions(client);
            assert!(!versions.contains('?'), "{}: {versions}", client.name);
            assert!(versions.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '@'), "{versions}");
            assert!(sources().join(client.script).is_file(), "{}", client.script);
        }
    }
}
