//! The processes in which the scripts run, and what they say.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use xtask::gateway::CLIENT_KEY;

use crate::conformance::NOWHERE;
use crate::conformance::clients::{Home, NODE, SDKS};
use crate::conformance::install::Installed;

/// At most so many processes, half of them Python's and half Node's.
const PROCESSES: usize = 8;
/// So many scripts have a large file.
const LARGE: usize = 4;
/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(900);

/// Scripts that run at the same time. Dropping it ends their processes.
pub(super) struct Crowd {
    scripts: usize,
    processes: Vec<(Child, Option<ChildStdin>)>,
    lines: Receiver<String>,
}

/// What the scripts have said.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) scripts: usize,
    pub(super) done: usize,
    /// Objects that were made, and waits that were asked for, by those that ended well.
    pub(super) objects: u64,
    pub(super) waits: u64,
    /// `step - what`, of each script that failed.
    pub(super) failures: Vec<String>,
    /// The longest of them, in seconds.
    pub(super) longest: f64,
}

impl Crowd {
    /// `pauses`: all wait when they have made their objects.
    pub(super) fn start(
        installed: &Installed,
        place: &Path,
        libra: &str,
        scripts: usize,
        pauses: bool,
    ) -> Result<Self, String> {
        let parts = PROCESSES.min(scripts);
        let bound = |part: usize| scripts * part / parts;
        // Not a script that is a client of its own, and spread over the processes.
        let large = (0..LARGE).map(|at| (scripts * at / LARGE + 1).min(scripts - 1).to_string());
        let large = large.collect::<Vec<_>>().join(",");
        let (sender, lines) = mpsc::channel();
        let mut crowd = Self { scripts, processes: Vec::new(), lines };
        for part in 0..parts {
            let (home, script) =
                if part % 2 == 0 { (SDKS, "objects.py") } else { (NODE, "node/objects.mjs") };
            let mut command = installed.command(home, script)?;
            surround(&mut command, installed, home, place)?;
            command
                .env("BASE_URL", libra)
                .env("SCRIPTS", format!("{}-{}", bound(part), bound(part + 1) - 1))
                .env("LARGE", &large);
            if pauses {
                command.env("PAUSE", "1");
            }
            let errors = place.join(format!("errors-{part}.log"));
            let errors = File::create(&errors)
                .map_err(|error| format!("cannot write {}: {error}", errors.display()))?;
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(errors)
                .spawn()
                .map_err(|error| format!("cannot start {script}: {error}"))?;
            let output = child.stdout.take().expect("standard output is piped");
            let input = child.stdin.take();
            crowd.processes.push((child, input));
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(crowd)
    }

    /// Listens to the end. `all_wait` is called when all have made their objects.
    pub(super) fn listen(
        &mut self,
        mut all_wait: impl FnMut(&mut Self) -> Result<(), String>,
    ) -> Result<Heard, String> {
        let mut heard = Heard { scripts: self.scripts, ..Heard::default() };
        let end = Instant::now() + LIMIT;
        let mut waiting = 0;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line == "WAITING" => {
                    waiting += 1;
                    if waiting == self.processes.len() {
                        all_wait(self)?;
                    }
                }
                Ok(line) => heard.take(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    println!("They were ended after {} s.", LIMIT.as_secs());
                    break;
                }
            }
        }
        let silent = self.scripts.saturating_sub(heard.done + heard.failures.len());
        heard.failures.extend((0..silent).map(|_| "no word - it ended without a verdict".to_owned()));
        Ok(heard)
    }

    /// Lets those that wait go on.
    pub(super) fn go_on(&mut self) -> Result<(), String> {
        for (_, input) in &mut self.processes {
            let input = input.as_mut().ok_or("a script has no input")?;
            writeln!(input, "GO").map_err(|error| format!("a script does not listen: {error}"))?;
        }
        Ok(())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for (child, _) in &mut self.processes {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Heard {
    fn take(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["DONE", _, objects, waits, seconds] => {
                self.done += 1;
                self.objects += objects.parse::<u64>().unwrap_or_default();
                self.waits += waits.parse::<u64>().unwrap_or_default();
                self.longest = self.longest.max(seconds.parse().unwrap_or_default());
            }
            ["FAIL", number, rest @ ..] => {
                println!("script {number}: {}", rest.join(" "));
                self.failures.push(rest.join(" "));
            }
            _ => println!("{line}"),
        }
    }
}

/// A home of its own, and no way to anything but loopback.
fn surround(command: &mut Command, installed: &Installed, home: Home, place: &Path) -> Result<(), String> {
    let folder = place.join("tmp");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    command
        .env_clear()
        .current_dir(place)
        .env("PATH", installed.path(home))
        .env("HOME", place)
        .env("TMPDIR", folder)
        .env("LANG", "C.UTF-8")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("API_KEY", CLIENT_KEY);
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(proxy, NOWHERE).env(proxy.to_lowercase(), NOWHERE);
    }
    for loopback in ["NO_PROXY", "no_proxy"] {
        command.env(loopback, "127.0.0.1,localhost");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_say_how_they_ended() {
        let mut heard = Heard::default();
        for line in
            ["DONE 3 17 2 4.50", "DONE 4 15 0 6.25", "FAIL 5 prompt - ClientError 403: no", "a warning"]
        {
            heard.take(line);
        }
        assert_eq!((heard.done, heard.objects, heard.waits), (2, 32, 2));
        assert!((heard.longest - 6.25).abs() < 0.01);
        assert_eq!(heard.failures, ["prompt - ClientError 403: no"]);
    }
}
