//! Takes files of settings in when they have changed, and on SIGHUP.
//!
//! Files are looked at every two seconds, rather than that the system is asked to tell: what it tells is about a file
//! or folder as it was when it was asked, and files of settings are replaced as wholes. Kubernetes swaps a link two
//! folders above them, an editor puts another file in the place, and of a single file that is mounted into a container,
//! or lies on a network's disk, many systems tell nothing. What a name leads to is what counts, and that is cheap to see.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Administration, Refusal, Reloaded};
use crate::notify;
use crate::settings::{Mark, marked};

/// How often files are looked at.
const LOOKED: Duration = Duration::from_secs(2);

/// A file that is still being written is waited for: it has to stay the same for so long.
const SETTLED: Duration = Duration::from_millis(250);

/// Takes changes in for as long as the process lives.
pub(crate) async fn watch(administration: Arc<Administration>) {
    let mut hang_up = std::pin::pin!(hang_ups());
    // As they were when they were read: they may have changed since.
    let mut known = administration.files();
    loop {
        let asked = tokio::select! {
            () = hang_up.as_mut() => {
                hang_up.set(hang_ups());
                true
            }
            () = tokio::time::sleep(LOOKED) => false,
        };
        let mut now = now_of(&administration);
        if now == known && !asked {
            continue;
        }
        loop {
            tokio::time::sleep(SETTLED).await;
            let later = now_of(&administration);
            if later == now {
                break;
            }
            now = later;
        }
        notify::reloading();
        let reloading = Arc::clone(&administration);
        let reloaded = tokio::task::spawn_blocking(move || reloading.reload()).await;
        notify::ready();
        if let Ok(reloaded) = reloaded {
            tell(reloaded);
        }
        // What is read now may name other files. What was refused is not read again before it changes.
        let read = administration.files();
        known =
            if read.iter().map(|(path, _)| path).eq(now.iter().map(|(path, _)| path)) { now } else { read };
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

fn now_of(administration: &Administration) -> Vec<(PathBuf, Mark)> {
    administration.files().into_iter().map(|(path, _)| marked(path)).collect()
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
