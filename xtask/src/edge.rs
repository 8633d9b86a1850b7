//! `cargo xtask edge`: the edge edition, as folders that each platform's own tool deploys as they are.
//!
//! The shell is compiled to WebAssembly, its JavaScript made by wasm-bindgen, and both made smaller; the platforms' entries
//! and settings come from `crates/edge/entries`. Nothing of it is deployed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::command::{self, cargo, exists, root, target};

use crate::npm::Packages;
use crate::wasm;

/// What the WebAssembly may have at most, compressed, in bytes. Cloudflare's free plan takes 3 MB of everything; a cold
/// start loads and compiles it all.
const MOST_PACKED: usize = 1 << 20;

/// What engines of all platforms know. Said one by one: with all features allowed, the optimizer writes what they refuse.
const FEATURES: [&str; 7] = [
    "--enable-bulk-memory",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-multivalue",
    "--enable-simd",
];

/// The JavaScript that wasm-bindgen makes, and the WebAssembly beside it.
const SCRIPT: &str = "libra.js";
const MODULE: &str = "libra_bg.wasm";

/// A platform's folder.
struct Platform {
    name: &'static str,
    /// Where in it what was built goes.
    place: &'static str,
    /// Whether the WebAssembly is a text in a script, as the platform takes nothing but scripts.
    as_script: bool,
}

const PLATFORMS: [Platform; 4] = [
    Platform { name: "cloudflare", place: "", as_script: false },
    Platform { name: "deno", place: "", as_script: false },
    Platform { name: "netlify", place: "netlify/gateway", as_script: true },
    Platform { name: "vercel", place: "gateway", as_script: false },
];

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if !arguments.is_empty() {
        return Err("takes no arguments".to_owned());
    }
    build()
}

/// The folder of all platforms' folders.
pub(crate) fn dist() -> PathBuf {
    root().join("dist")
}

/// Builds, and writes the platforms' folders.
pub(crate) fn build() -> Result<(), String> {
    let made = target().join("edge/made");
    fresh(&made)?;
    let compiled = wasm::build_edge()?;
    let tool = target().join("bindgen");
    let manifest = root().join("xtask/edge/Cargo.toml");
    command::run(
        cargo()
            .args(["build", "--release", "--locked", "--quiet", "--manifest-path"])
            .arg(manifest)
            .arg("--target-dir")
            .arg(&tool),
    )?;
    command::run(Command::new(tool.join("release/libra-bindgen")).arg(&compiled).arg(&made).arg("libra"))?;
    optimize(&made.join(MODULE))?;
    let packed = packed_size(&made.join(MODULE))?;
    for platform in &PLATFORMS {
        write(platform, &made)?;
    }
    write_buttons()?;
    let size = |name: &str| fs::metadata(made.join(name)).map_or(0, |file| file.len());
    println!("\n{:<16} {:>9} bytes", MODULE, size(MODULE));
    println!("{:<16} {:>9} bytes, of {MOST_PACKED} at most", "  compressed", packed);
    println!("{:<16} {:>9} bytes", SCRIPT, size(SCRIPT));
    for platform in &PLATFORMS {
        println!("{}", dist().join(platform.name).display());
    }
    if packed > MOST_PACKED {
        return Err(format!("{MODULE} has {packed} bytes compressed; {MOST_PACKED} are allowed"));
    }
    Ok(())
}

/// Makes the WebAssembly smaller, where npm can be had; without, it works as well and loads a little longer.
fn optimize(module: &Path) -> Result<(), String> {
    if !exists("npm", "--version") || !exists("node", "--version") {
        println!("No Node.js and npm: the WebAssembly is left as the compiler made it, a fifth larger.");
        return Ok(());
    }
    let packages = Packages::install("edge/optimizer")?;
    let smaller = module.with_extension("smaller");
    command::run(
        Command::new("node")
            .arg(packages.folder().join("node_modules/binaryen/bin/wasm-opt"))
            .arg("-Oz")
            .args(FEATURES)
            .args(["--strip-debug", "--strip-producers"])
            .arg(module)
            .arg("-o")
            .arg(&smaller),
    )?;
    fs::rename(&smaller, module).map_err(|error| format!("cannot replace {}: {error}", module.display()))
}

fn packed_size(file: &Path) -> Result<usize, String> {
    let output = Command::new("gzip").args(["-9", "--stdout"]).arg(file).output();
    let output = output.map_err(|error| format!("cannot run `gzip`: {error}"))?;
    if !output.status.success() {
        return Err(format!("`gzip` ended with {}", output.status));
    }
    Ok(output.stdout.len())
}

fn write(platform: &Platform, made: &Path) -> Result<(), String> {
    let folder = dist().join(platform.name);
    fresh(&folder)?;
    copy_all(&root().join("crates/edge/entries").join(platform.name), &folder)?;
    let place = folder.join(platform.place);
    fs::create_dir_all(&place).map_err(|error| format!("cannot make {}: {error}", place.display()))?;
    copy(&made.join(SCRIPT), &place.join(SCRIPT))?;
    if !platform.as_script {
        return copy(&made.join(MODULE), &place.join(MODULE));
    }
    let module = fs::read(made.join(MODULE)).map_err(|error| format!("cannot read {MODULE}: {error}"))?;
    let script = place.join("wasm.js");
    fs::write(&script, format!("export default \"{}\";\n", base64(&module)))
        .map_err(|error| format!("cannot write {}: {error}", script.display()))
}

/// The page of all folders, with buttons that deploy them from a branch `edge` where it is known which repository has one: on
/// GitHub, whose workflows say it. Elsewhere a button would lead nowhere.
fn write_buttons() -> Result<(), String> {
    let page = root().join("crates/edge/entries/README.md");
    let mut text =
        fs::read_to_string(&page).map_err(|error| format!("cannot read {}: {error}", page.display()))?;
    if let (Ok(server), Ok(name)) = (env::var("GITHUB_SERVER_URL"), env::var("GITHUB_REPOSITORY")) {
        text.push_str(&buttons(&format!("{server}/{name}")));
    }
    let written = dist().join("README.md");
    fs::write(&written, text).map_err(|error| format!("cannot write {}: {error}", written.display()))
}

/// As each platform documents its own. Each copies a folder into a repository of whoever presses it, and asks for the secrets.
fn buttons(repository: &str) -> String {
    format!(
        "\n## In a minute\n\n\
         [![Deploy to Cloudflare](https://deploy.workers.cloudflare.com/button)]\
         (https://deploy.workers.cloudflare.com/?url={repository}/tree/edge/cloudflare)\n\
         [![Deploy on Deno](https://deno.com/button)]\
         (https://console.deno.com/new?clone={repository}/tree/edge&path=deno)\n\
         [![Deploy to Netlify](https://www.netlify.com/img/deploy/button.svg)]\
         (https://app.netlify.com/start/deploy?repository={repository}&branch=edge&base=netlify)\n\
         [![Deploy with Vercel](https://vercel.com/button)]\
         (https://vercel.com/new/clone?repository-url={repository}/tree/edge/vercel&env=LIBRA_KEYS,LIBRA_CLIENTS)\n"
    )
}

/// An empty folder.
fn fresh(folder: &Path) -> Result<(), String> {
    let removed = if folder.exists() { fs::remove_dir_all(folder) } else { Ok(()) };
    removed
        .and_then(|()| fs::create_dir_all(folder))
        .map_err(|error| format!("cannot empty {}: {error}", folder.display()))
}

/// Copies a folder's files, with all below.
pub(crate) fn copy_all(from: &Path, to: &Path) -> Result<(), String> {
    let entries = fs::read_dir(from).map_err(|error| format!("cannot read {}: {error}", from.display()))?;
    for entry in entries.flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            fs::create_dir_all(&to).map_err(|error| format!("cannot make {}: {error}", to.display()))?;
            copy_all(&from, &to)?;
        } else {
            copy(&from, &to)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to)
        .map(|_| ())
        .map_err(|error| format!("cannot copy {} to {}: {error}", from.display(), to.display()))
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for letter in 0..4 {
            let value = (bits >> (18 - 6 * letter)) & 63;
            text.push(if letter > three.len() { '=' } else { char::from(LETTERS[value as usize]) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_letters() {
        // The examples of RFC 4648, section 10.
        let check = |bytes: &str, expected: &str| assert_eq!(base64(bytes.as_bytes()), expected);
        check("", "");
        check("f", "Zg==");
        check("fo", "Zm8=");
        check("foo", "Zm9v");
        check("foob", "Zm9vYg==");
        check("fooba", "Zm9vYmE=");
        check("foobar", "Zm9vYmFy");
    }

    #[test]
    fn buttons_lead_to_the_branch() {
        let text = buttons("https://code.example/us/libra");
        assert_eq!(text.matches("https://code.example/us/libra").count(), PLATFORMS.len());
    }

    #[test]
    fn every_platform_has_its_entry() {
        for platform in &PLATFORMS {
            let folder = root().join("crates/edge/entries").join(platform.name);
            assert!(folder.join("README.md").is_file(), "{}", folder.display());
        }
    }
}
