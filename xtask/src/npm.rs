//! Packages from npm, by lockfile, in folders under the target folder; installed anew when their list has changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::command::{self, root, target};

/// An installed list.
pub(crate) struct Packages {
    folder: PathBuf,
}

impl Packages {
    /// Installs a list, which is a folder of `xtask`. No package's own scripts run.
    pub(crate) fn install(list: &str) -> Result<Self, String> {
        let from = root().join("xtask").join(list);
        let folder = target().join("edge").join(from.file_name().unwrap_or_default());
        fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        let lock = from.join("package-lock.json");
        let wanted =
            fs::read_to_string(&lock).map_err(|error| format!("cannot read {}: {error}", lock.display()))?;
        let stamp = folder.join("node_modules/.installed-lock.json");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(Self { folder });
        }
        println!("Installing {list} from npm into {}.", folder.display());
        for file in ["package.json", "package-lock.json"] {
            fs::copy(from.join(file), folder.join(file))
                .map_err(|error| format!("cannot copy {file} to {}: {error}", folder.display()))?;
        }
        command::run(
            Command::new("npm")
                .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
                .current_dir(&folder),
        )?;
        fs::write(&stamp, wanted).map_err(|error| format!("cannot write {}: {error}", stamp.display()))?;
        Ok(Self { folder })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// An installed program.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join("node_modules/.bin").join(name)
    }

    /// The variable `PATH`: the installed programs, and whatever the machine has.
    pub(crate) fn path(&self) -> String {
        let system = std::env::var("PATH").unwrap_or_default();
        format!("{}:{system}", self.folder.join("node_modules/.bin").display())
    }
}
