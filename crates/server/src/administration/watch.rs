//! Takes files of settings in when they have changed, and on SIGHUP.
//!
//! Files are looked at every two seconds, rather than that the system is asked to tell: what it tells is about a file
//! or folder as it was when it was asked, and files of settings are replaced as wholes. Kubernetes swaps a link two
//! folders above them, an editor puts another file in the place, and of a single file that is mounted into a container,
//! or lies on a network's disk, many systems tell nothing. What a name leads to is what counts, and that is cheap to see.

use std::fs;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Administration, Refusal, Reloaded};

/// How often files are looked at.
const LOOKED: Duration = Duration::from_secs(2);

/// A file that is still being written is waited for: it has to stay the same for so long.
const SETTLED: Duration = Duration::from_millis(250);

/// What tells one state of a file from another. None: it is not there.
type Mark = Option<(SystemTime, u64, u64)>;

/// Takes changes in for as long as the process lives.
pub(crate) async fn watch(administration: Arc<Administration>) {
    let mut hang_up = std::pin::pin!(hang_ups());
    let mut known = marks(&administration);
    loop {
        let asked = tokio::select! {
            () = hang_up.as_mut() => {
                hang_up.set(hang_ups());
                true
            }
            () = tokio::time::sleep(LOOKED) => false,
        };
        let mut now = marks(&administration);
        if now == known && !asked {
            continue;
        }
        loop {
            tokio::time::sleep(SETTLED).await;
            let later = marks(&administration);
            if later == now {
                break;
            }
            now = later;
        }
        let reloading = Arc::clone(&administration);
        let reloaded = tokio::task::spawn_blocking(move || reloading.reload()).await;
        if let Ok(reloaded) = reloaded {
            tell(reloaded);
        }
        // What is read now may name other files.
        known = marks(&administration);
    }
}

fn tell(reloaded: Result<Reloaded, Refusal>) {
    match reloaded {
        Ok(Reloaded { notices }) => {
            for notice in notices {
                tracing::warn!("{notice}");
            }
            tracing::info!("the settings were read again");
        }
        Err(refusal) => tracing::error!("the settings stay as they were: {refusal}"),
    }
}

fn marks(administration: &Administration) -> Vec<(PathBuf, Mark)> {
    let mark = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let number = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let number = 0;
        Some((metadata.modified().ok()?, metadata.len(), number))
    };
    let files = administration.files().into_iter();
    files.map(|path| (mark(&path), path)).map(|(mark, path)| (path, mark)).collect()
}

/// Ready at the next SIGHUP.
fn hang_ups() -> impl Future<Output = ()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let signal = signal(SignalKind::hangup());
        async move {
            match signal {
                Ok(mut signal) => {
                    signal.recv().await;
                }
                // The system has no handler to give.
                Err(_) => std::future::pending().await,
            }
        }
    }
    #[cfg(not(unix))]
    std::future::pending()
}
