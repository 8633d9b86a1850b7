//! What the machine, or the container, has.

use std::fs;
use std::path::{Path, PathBuf};

/// Where control groups are, and what the limit is called: of version 2, then of version 1.
const LIMITS: [(&str, &str); 2] =
    [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")];

/// The memory that this process may use, in bytes. None where that cannot be found out.
pub(crate) fn memory() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits =
        limits(&own).into_iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    let all = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    // Without a limit, version 1 says a number that is larger than any machine.
    limits.chain(all).min()
}

/// Where limits for this process may stand: its own group's and all above it, as each of them binds. A container sees its
/// group as the root; a service of systemd does not.
fn limits(own: &str) -> Vec<PathBuf> {
    // `0::/path` of version 2, `4:memory:/path` of version 1.
    let path_of = |is_it: fn(&str) -> bool| {
        let mut lines = own.lines().map(|line| line.splitn(3, ':'));
        lines.find_map(|mut parts| {
            let (number, controllers) = (parts.next()?, parts.next()?);
            (is_it(controllers) && (!controllers.is_empty() || number == "0")).then(|| parts.next()).flatten()
        })
    };
    let paths = [
        path_of(str::is_empty),
        path_of(|controllers| controllers.split(',').any(|controller| controller == "memory")),
    ];
    let mut limits = Vec::new();
    for ((root, name), path) in LIMITS.into_iter().zip(paths) {
        let path = Path::new(path.unwrap_or("/").trim_start_matches('/'));
        limits.extend(path.ancestors().map(|group| Path::new(root).join(group).join(name)));
    }
    limits
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

    #[test]
    fn every_group_above_is_looked_at() {
        let check = |own: &str, expected: &[&str]| {
            let limits: Vec<_> = limits(own).iter().map(|path| path.display().to_string()).collect();
            assert_eq!(limits, expected, "{own}");
        };
        let roots = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
        check("", &roots);
        check("0::/\n", &roots);
        check(
            "0::/system.slice/libra.service\n",
            &[
                "/sys/fs/cgroup/system.slice/libra.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                roots[0],
                roots[1],
            ],
        );
        check(
            "5:cpu:/a\n4:memory,hugetlb:/b\n1:name=systemd:/c\n0::/\n",
            &[roots[0], "/sys/fs/cgroup/memory/b/memory.limit_in_bytes", roots[1]],
        );
    }
}
