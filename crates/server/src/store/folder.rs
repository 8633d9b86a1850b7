//! The data folder: made for its owner alone, and held by one process.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::StoreError;

/// The database in the folder.
const DATABASE: &str = "libra.db";

/// What seals contents, where no setting gives it.
const SECRET: &str = "secret";

/// The one that takes its place when all is sealed with it.
const NEXT_SECRET: &str = "secret.next";

/// Whoever has this file locked has the folder. It stays when nobody does.
const LOCK: &str = "lock";

/// A data folder that this process holds. It is given back when dropped, and by the system when the process ends.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder if it is not there, and holds it.
    ///
    /// # Errors
    /// It cannot be made or written into; another process holds it.
    pub(crate) fn hold(path: &Path) -> Result<Self, StoreError> {
        let unusable =
            |source: io::Error| StoreError::Folder { path: path.to_owned(), problem: source.to_string() };
        make_folder(path).map_err(unusable)?;
        let lock = private().open(path.join(LOCK)).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// Where the database is. The file is made here, as SQLite would make one that others may read.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn database(&self) -> Result<PathBuf, StoreError> {
        let path = database_in(&self.path);
        private().open(&path).map_err(|error| self.unusable(&error))?;
        Ok(path)
    }

    /// Where the secret is, if it is in a file.
    pub(crate) fn secret(&self) -> PathBuf {
        self.path.join(SECRET)
    }

    /// Where the secret is that is to take its place.
    pub(crate) fn next_secret(&self) -> PathBuf {
        self.path.join(NEXT_SECRET)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn unusable(&self, error: &io::Error) -> StoreError {
        StoreError::Folder { path: self.path.clone(), problem: error.to_string() }
    }
}

/// The database in a data folder.
pub(crate) fn database_in(folder: &Path) -> PathBuf {
    folder.join(DATABASE)
}

/// Options that make a file only its owner may read, and leave one alone that is there.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn make_folder(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Scratch;
    use super::*;

    #[test]
    fn one_process_holds_a_folder_and_others_are_told() {
        let scratch = Scratch::new();
        let path = scratch.path().join("a/b");
        let folder = Folder::hold(&path).expect("it can be made");
        let refused = Folder::hold(&path).expect_err("it is held");
        assert!(matches!(&refused, StoreError::InUse(held) if *held == path), "{refused}");
        drop(folder);
        Folder::hold(&path).expect("it is free again");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_made_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let scratch = Scratch::new();
        let path = scratch.path().join("data");
        let folder = Folder::hold(&path).expect("it can be made");
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&folder.database().expect("a file")), 0o600);
        assert_eq!(mode(&path.join(LOCK)), 0o600);
    }
}
