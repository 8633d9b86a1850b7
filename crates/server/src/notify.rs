//! What systemd is told of the service, where it wants to hear it: that it is there, that it ends, that it lives.

use std::time::Duration;

/// The gateway serves, or serves again.
pub(crate) fn ready() {
    #[cfg(target_os = "linux")]
    tell(&[sd_notify::NotifyState::Ready]);
}

/// It reads its settings again; [`ready`] says when that is over.
pub(crate) fn reloading() {
    #[cfg(target_os = "linux")]
    if let Ok(now) = sd_notify::NotifyState::monotonic_usec_now() {
        tell(&[sd_notify::NotifyState::Reloading, now]);
    }
}

/// It ends, and takes no new connections.
pub(crate) fn stopping() {
    #[cfg(target_os = "linux")]
    tell(&[sd_notify::NotifyState::Stopping]);
}

/// Says that it lives, for as long as it is polled, twice as often as was asked for.
pub(crate) async fn live() {
    let Some(within) = watchdog() else { return };
    loop {
        #[cfg(target_os = "linux")]
        tell(&[sd_notify::NotifyState::Watchdog]);
        tokio::time::sleep((within / 2).max(Duration::from_millis(100))).await;
    }
}

#[cfg(target_os = "linux")]
fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

#[cfg(not(target_os = "linux"))]
fn watchdog() -> Option<Duration> {
    None
}

/// Where nobody wants to hear it, this does nothing.
#[cfg(target_os = "linux")]
fn tell(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("systemd cannot be told of the service's state: {error}");
    }
}
