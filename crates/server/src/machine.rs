//! What the machine, or the container, has.

use std::fs;

/// Where containers are told their limit: control groups of version 2, then of version 1.
const LIMITS: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// The memory that this process may use, in bytes. None where that cannot be found out.
pub(crate) fn memory() -> Option<u64> {
    let limit = LIMITS.iter().find_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    let all = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    // Without a limit, version 1 says a number that is larger than any machine.
    limit.into_iter().chain(all).min()
}

/// `MemTotal:       24576000 kB`
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read() {
        assert_eq!(total("MemFree: 1 kB\nMemTotal:       2048 kB\n"), Some(2 << 20));
        assert_eq!(total("nothing"), None);
    }
}
