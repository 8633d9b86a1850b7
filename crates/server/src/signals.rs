//! The signals that end the gateway.

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, from the moment it is made.
pub(crate) struct Signals {
    /// None where the system has no handler to give: the signal then ends the process by itself.
    #[cfg(unix)]
    signals: [Option<Signal>; 2],
}

impl Signals {
    pub(crate) fn listen() -> Self {
        Self {
            #[cfg(unix)]
            signals: [SignalKind::terminate(), SignalKind::interrupt()].map(|kind| signal(kind).ok()),
        }
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        {
            let [terminated, interrupted] = &mut self.signals;
            let heard = async |signal: &mut Option<Signal>| match signal {
                Some(signal) => {
                    signal.recv().await;
                }
                None => std::future::pending().await,
            };
            tokio::select! {
                () = heard(terminated) => {}
                () = heard(interrupted) => {}
            }
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}
