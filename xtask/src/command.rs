//! Commands: where they run, how they are said, and what their failing is called.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// The repository's root folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the repository")
}

/// Where cargo puts what it builds, and the tasks their own files.
pub fn target() -> PathBuf {
    // A relative folder in the variable is relative to where cargo was called; the tasks call it in the root.
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// The cargo that runs this task, in the repository's root.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a command to its end, its output going through; anything but exit code 0 is an error.
pub fn run(command: &mut Command) -> Result<(), String> {
    let said = shown(command);
    println!("$ {said}");
    let status =
        command.stdin(Stdio::null()).status().map_err(|error| format!("cannot run `{said}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{said}` ended with {status}")) }
}

/// Runs a command to its end. Its standard output goes through, and `read` sees every line as it comes; what is no
/// UTF-8 in it is replaced.
pub fn run_reading(command: &mut Command, mut read: impl FnMut(&str)) -> Result<ExitStatus, String> {
    let said = shown(command);
    println!("$ {said}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run `{said}`: {error}"))?;
    let output = child.stdout.take().expect("standard output is piped");
    for line in BufReader::new(output).split(b'\n') {
        let line = line.map_err(|error| format!("cannot read what `{said}` prints: {error}"))?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        read(&line);
    }
    child.wait().map_err(|error| format!("cannot wait for `{said}`: {error}"))
}

/// Runs a command, but not for longer than `limit`; then it is ended, and there is no status. `read` sees every line of
/// its standard output, its standard error goes into a file.
pub fn run_bounded(
    command: &mut Command,
    errors: &Path,
    limit: Duration,
    mut read: impl FnMut(&str),
) -> Result<Option<ExitStatus>, String> {
    let said = shown(command);
    let errors =
        File::create(errors).map_err(|error| format!("cannot write {}: {error}", errors.display()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .map_err(|error| format!("cannot run `{said}`: {error}"))?;
    let output = child.stdout.take().expect("standard output is piped");
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    let end = Instant::now() + limit;
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => read(&line),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                // It may have ended in this moment.
                let _ = child.kill();
                child.wait().map_err(|error| format!("cannot wait for `{said}`: {error}"))?;
                return Ok(None);
            }
        }
    }
    child.wait().map(Some).map_err(|error| format!("cannot wait for `{said}`: {error}"))
}

/// What a command prints on standard output, or `None` where it cannot be run or fails. Its errors are not shown:
/// for questions that may be answered with no.
pub fn ask(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether a program can be started at all.
pub fn exists(program: &str, question: &str) -> bool {
    ask(Command::new(program).arg(question)).is_some()
}

/// The command as one would type it: the program's name without its folder, and the arguments.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or_else(|| command.get_program());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
