//! What Linux says of a process, its threads and its children: processor time and memory.

use std::fs;
use std::time::Duration;

/// The processor time that the process and its children have used in user and system mode: the first field of every
/// thread's `schedstat`, which counts nanoseconds, where `stat` counts hundredths of a second.
///
/// Threads that have ended are not counted; a proxy's worker threads do not end.
pub(crate) fn processor_time(id: u32) -> Result<Duration, String> {
    let threads = fs::read_dir(format!("/proc/{id}/task")).map_err(|error| gone(id, &error))?;
    let mut total = Duration::ZERO;
    for thread in threads {
        let folder = thread.map_err(|error| gone(id, &error))?.path();
        // A thread may end between the listing and the reading.
        let Ok(text) = fs::read_to_string(folder.join("schedstat")) else { continue };
        let nanoseconds = text.split_whitespace().next().and_then(|field| field.parse().ok());
        total += Duration::from_nanos(nanoseconds.ok_or_else(|| format!("odd schedstat: {text:?}"))?);
        for child in fs::read_to_string(folder.join("children")).unwrap_or_default().split_whitespace() {
            total += processor_time(child.parse().map_err(|_| format!("odd child of {id}: {child:?}"))?)?;
        }
    }
    Ok(total)
}

/// Memory in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Resident now.
    pub(crate) resident: u64,
    /// The most that ever was.
    pub(crate) peak: u64,
}

pub(crate) fn memory(id: u32) -> Result<Memory, String> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).map_err(|error| gone(id, &error))?;
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().strip_suffix(" kB"))
            .and_then(|number| number.parse::<u64>().ok())
            .map(|kibibytes| kibibytes * 1024)
            .ok_or_else(|| format!("no {name} in the status of process {id}"))
    };
    Ok(Memory { resident: field("VmRSS")?, peak: field("VmHWM")? })
}

fn gone(id: u32, error: &std::io::Error) -> String {
    format!("process {id} cannot be looked at; has it ended? ({error})")
}
