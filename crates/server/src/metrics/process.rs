//! What the system knows of the process, under the names that Prometheus' own clients have for it.

use prometheus_client::encoding::DescriptorEncoder;

/// Writes what is known; where the system is not asked, nothing.
#[cfg(target_os = "linux")]
pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
    use procfs::process::Process;
    use procfs::{boot_time_secs, page_size, ticks_per_second};

    use super::page::{counter, gauge};

    let Ok(process) = Process::myself() else { return Ok(()) };
    if let Ok(stat) = process.stat() {
        let ticks = ticks_per_second() as f64;
        let used = (stat.utime + stat.stime) as f64 / ticks;
        counter(encoder, "process_cpu_seconds", "Processor time used, user and system", used)?;
        let resident = stat.rss as f64 * page_size() as f64;
        gauge(encoder, "process_resident_memory_bytes", "Memory in use", resident)?;
        gauge(encoder, "process_virtual_memory_bytes", "Address space in use", stat.vsize as f64)?;
        gauge(encoder, "process_threads", "Threads", stat.num_threads as f64)?;
        if let Ok(boot) = boot_time_secs() {
            let began = boot as f64 + stat.starttime as f64 / ticks;
            gauge(encoder, "process_start_time_seconds", "When the process began, since the epoch", began)?;
        }
    }
    if let Ok(open) = process.fd_count() {
        gauge(encoder, "process_open_fds", "Open files, connections among them", open as f64)?;
    }
    if let Ok(limits) = process.limits()
        && let procfs::process::LimitValue::Value(most) = limits.max_open_files.soft_limit
    {
        gauge(encoder, "process_max_fds", "How many files may be open", most as f64)?;
    }
    Ok(())
}

/// Writes what is known; where the system is not asked, nothing.
#[cfg(not(target_os = "linux"))]
pub(super) fn encode(_: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
    Ok(())
}
