//! Core and the edge's shell, built for `wasm32-unknown-unknown`: for core, the proof that it has no sockets, clock or
//! threads in it.
//!
//! A compiler whose target is installed is taken as it is. Where there is none, Debian's compiler for browsers builds the
//! target's standard library from its own sources (a compiler cannot use another version's), into the user's cache
//! folder; elsewhere rustup is asked for the target.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use xtask::command::{self, ask, cargo, target};

const TARGET: &str = "wasm32-unknown-unknown";

/// What all platforms have beyond the target's usual instructions: searches then look at sixteen bytes at once.
const FLAGS: &str = "-Ctarget-feature=+simd128";
const FLAGS_VARIABLE: &str = "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS";

/// A compiler, a cargo of the same version, the sources of the standard library, and the linker.
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-22"];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_SOURCES: &str = "/usr/lib/rustlib/src/rust/library";
const DEBIAN_LINKER: &str = "/usr/bin/lld-22";

/// Variables by which the calling cargo would steer a compiler of another version.
const FOREIGN: [&str; 7] = [
    "RUSTUP_TOOLCHAIN",
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_TARGET_DIR",
    "LD_LIBRARY_PATH",
];

/// Builds both as they are developed.
pub(crate) fn build() -> Result<(), String> {
    let Compiler { mut cargo, .. } = compiler()?;
    command::run(cargo.args([
        "build",
        "--package",
        "libra-core",
        "--package",
        "libra-edge",
        "--target",
        TARGET,
    ]))
}

/// Builds the edge's shell as it is published; returns the file.
pub(crate) fn build_edge() -> Result<PathBuf, String> {
    let Compiler { mut cargo, target } = compiler()?;
    command::run(cargo.args(["build", "--package", "libra-edge", "--profile", "edge", "--target", TARGET]))?;
    Ok(target.join(TARGET).join("edge/libra_edge.wasm"))
}

/// A cargo that can build for the target, and the folder that it builds into.
struct Compiler {
    cargo: Command,
    target: PathBuf,
}

fn compiler() -> Result<Compiler, String> {
    // Its own folder, where another compiler than the usual one is used: two in one would build everything anew at each
    // change.
    let own = target().join("wasm");
    if has_target(ask(Command::new("rustc").args(["--print", "sysroot"]))) {
        println!("The compiler in use has the target {TARGET}.");
        return Ok(Compiler { cargo: flagged(cargo()), target: target() });
    }
    if has_target(ask(Command::new("rustc").args(["+wasm", "--print", "sysroot"]))) {
        println!("The toolchain `wasm` has the target {TARGET}.");
        let mut command = Command::new("cargo");
        command.current_dir(command::root()).arg("+wasm");
        FOREIGN.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.env("CARGO_TARGET_DIR", &own);
        return Ok(Compiler { cargo: flagged(command), target: own });
    }
    if Path::new(DEBIAN_SOURCES).exists() || can_install_from_debian() {
        let cargo = debian()?;
        return Ok(Compiler { cargo, target: own });
    }
    println!("Installing the target {TARGET} with rustup.");
    command::run(Command::new("rustup").args(["target", "add", TARGET])).map_err(|why| {
        format!("{why}\nNo compiler here has the target {TARGET}; `rustup target add {TARGET}` installs it")
    })?;
    Ok(Compiler { cargo: flagged(cargo()), target: target() })
}

fn flagged(mut cargo: Command) -> Command {
    cargo.env(FLAGS_VARIABLE, FLAGS);
    cargo
}

fn has_target(sysroot: Option<String>) -> bool {
    sysroot.is_some_and(|sysroot| Path::new(&sysroot).join("lib/rustlib").join(TARGET).join("lib").is_dir())
}

fn can_install_from_debian() -> bool {
    let root = ask(Command::new("id").arg("-u")).is_some_and(|id| id == "0");
    root && Path::new("/etc/debian_version").exists() && Path::new("/usr/bin/apt-get").exists()
}

/// Debian's compiler with a standard library of its own making.
fn debian() -> Result<Command, String> {
    if !DEBIAN_PACKAGES.iter().all(|package| is_installed(package)) {
        println!("Installing from Debian: {} (150 MB to download).", DEBIAN_PACKAGES.join(", "));
        command::run(Command::new("apt-get").arg("update").arg("--quiet"))?;
        command::run(
            Command::new("apt-get")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .args(["install", "--yes", "--quiet", "--no-install-recommends"])
                .args(DEBIAN_PACKAGES),
        )?;
    }
    let sysroot = standard_library()?;
    let mut command = debian_cargo();
    command
        .current_dir(command::root())
        .env(FLAGS_VARIABLE, format!("{FLAGS} --sysroot={}", sysroot.display()))
        .env("CARGO_TARGET_DIR", target().join("wasm"));
    Ok(command)
}

fn is_installed(package: &str) -> bool {
    ask(Command::new("dpkg-query").args(["--show", "--showformat", "${db:Status-Status}", package]))
        .is_some_and(|status| status == "installed")
}

fn debian_cargo() -> Command {
    let mut command = Command::new(DEBIAN_CARGO);
    FOREIGN.iter().for_each(|name| {
        command.env_remove(name);
    });
    command.env("RUSTC", DEBIAN_RUSTC);
    command
}

/// The folder that holds the standard library for the target, built unless an earlier run has.
fn standard_library() -> Result<PathBuf, String> {
    let version = ask(Command::new(DEBIAN_RUSTC).arg("--version"))
        .ok_or_else(|| format!("{DEBIAN_RUSTC} does not run, though its package is installed"))?;
    let release = version.split_whitespace().nth(1).unwrap_or("unknown");
    let folder = cache()?.join(format!("{TARGET}-{release}"));
    let sysroot = folder.join("sysroot");
    if sysroot.is_dir() {
        println!("The standard library for {TARGET} was built before, by {version}.");
        return Ok(sysroot);
    }
    println!("Building the standard library for {TARGET} with {version}, in {}.", folder.display());
    let built = build_standard_library(&folder.join("build"))?;
    let unfinished = folder.join("unfinished");
    install_standard_library(&built, &unfinished)
        // Renamed last, so that a run that was broken off leaves no half a library under the final name.
        .and_then(|()| fs::rename(&unfinished, &sysroot))
        .and_then(|()| fs::remove_dir_all(folder.join("build")))
        .map_err(|error| format!("cannot put the standard library into {}: {error}", folder.display()))?;
    Ok(sysroot)
}

/// Builds an empty crate together with the standard library; returns the folder of the libraries.
fn build_standard_library(folder: &Path) -> Result<PathBuf, String> {
    let manifest = "[package]\nname = \"nothing\"\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = false\n\n[workspace]\n";
    fs::create_dir_all(folder.join("src"))
        .and_then(|()| fs::write(folder.join("Cargo.toml"), manifest))
        .and_then(|()| fs::write(folder.join("src/lib.rs"), ""))
        .map_err(|error| format!("cannot write to {}: {error}", folder.display()))?;
    command::run(
        debian_cargo()
            .current_dir(folder)
            // Building the standard library is not a stable feature of cargo.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", "-Cembed-bitcode=yes -Copt-level=s")
            .args(["build", "--quiet", "--release", "-Zbuild-std=std,panic_abort,test", "--target", TARGET])
            .args(["--target-dir", "target"]),
    )?;
    Ok(folder.join("target").join(TARGET).join("release/deps"))
}

/// Lays the libraries out as the compiler looks for them, and its linker beside them.
fn install_standard_library(built: &Path, sysroot: &Path) -> std::io::Result<()> {
    let host = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let libraries = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    let programs = sysroot.join("lib/rustlib").join(host).join("bin");
    if sysroot.exists() {
        fs::remove_dir_all(sysroot)?;
    }
    fs::create_dir_all(&libraries)?;
    fs::create_dir_all(&programs)?;
    for entry in fs::read_dir(built)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        let text = name.to_string_lossy();
        if text.ends_with(".rlib") && !text.starts_with("libnothing-") {
            fs::copy(&path, libraries.join(name))?;
        }
    }
    link(Path::new(DEBIAN_LINKER), &programs.join("rust-lld"))
}

#[cfg(unix)]
fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(from, to)
}

#[cfg(not(unix))]
fn link(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(std::io::Error::other("Debian's compiler runs on Linux"))
}

/// The user's cache folder, so that a fresh clone finds what an earlier one has built. Deleting it costs half a minute.
fn cache() -> Result<PathBuf, String> {
    env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
        .map(|cache| cache.join("libra-xtask"))
        .ok_or_else(|| "neither HOME nor XDG_CACHE_HOME is set".to_owned())
}
