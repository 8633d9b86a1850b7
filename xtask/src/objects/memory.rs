//! What libra needs while a gigabyte goes through it, up and down: the most memory that its process has ever had.

use std::path::Path;
use std::time::Instant;

use xtask::command::{self, cargo, target};
use xtask::gateway::{self, CLIENT_KEY};
use xtask::server::Server;

use super::http::{Answer, Request, send};
use super::pool;
use super::report::high_water;

/// What goes through.
const SIZE: u64 = 1 << 30;
/// The pieces in which the SDKs send a file.
const PIECE: u64 = 8 << 20;
/// What the process may need at most, in kilobytes.
const MOST: u64 = 40 << 10;

/// A way through.
type Way = (&'static str, fn(&Server) -> Result<(), String>);

const WAYS: [Way; 4] = [
    ("up, one piece", one_piece),
    ("up, pieces of 8 MiB", pieces),
    ("up, multipart", multipart),
    ("down, a film", film),
];

pub(super) fn run() -> Result<(), String> {
    command::run(cargo().args(["build", "--release", "--package", "libra", "--package", "libra-simulator"]))?;
    let place = target().join("conformance/runs/objects-memory");
    std::fs::create_dir_all(&place).map_err(|error| format!("cannot make {}: {error}", place.display()))?;
    let mut table = String::from("1 GiB                   peak    at rest      time\n");
    let mut broken = Vec::new();
    for (name, way) in WAYS {
        let (peak, rest, seconds) = measure(&place, way).map_err(|why| format!("{name}: {why}"))?;
        let megabytes = |kilobytes: u64| kilobytes as f64 / 1024.0;
        table +=
            &format!("{name:<20} {:>5.1} MB {:>7.1} MB {seconds:>7.1} s\n", megabytes(peak), megabytes(rest));
        if peak > MOST {
            broken.push(name);
        }
    }
    println!("\n{table}");
    if broken.is_empty() {
        Ok(())
    } else {
        Err(format!("more than {} MB: {}", MOST >> 10, broken.join(", ")))
    }
}

/// Peak, what a fresh process needs (both in kilobytes), and the time in seconds. Each way has a gateway to itself.
fn measure(place: &Path, way: fn(&Server) -> Result<(), String>) -> Result<(u64, u64, f64), String> {
    let programs = target().join("release");
    let simulator = pool::simulator(&programs.join("libra-simulator"), place)?;
    let mut command = gateway::libra_at(&programs.join("libra"), place, "127.0.0.1:0", &simulator.url());
    command.env("LIBRA_KEYS", pool::keys()).env("LIBRA_CLIENTS", CLIENT_KEY);
    let libra = Server::start(&mut command, &place.join("libra.log"))?;
    let rest = high_water(libra.id());
    let began = Instant::now();
    way(&libra)?;
    Ok((high_water(libra.id()), rest, began.elapsed().as_secs_f64()))
}

fn one_piece(libra: &Server) -> Result<(), String> {
    let address = begin(libra)?;
    let head = head("x-goog-upload-command: upload, finalize\r\nx-goog-upload-offset: 0\r\n");
    let sent = send(
        libra.address(),
        &Request { method: "PUT", path: &address, head: &head, before: "", zeros: SIZE, after: "" },
    )?;
    arrived(&sent)
}

fn pieces(libra: &Server) -> Result<(), String> {
    let address = begin(libra)?;
    for offset in (0..SIZE).step_by(PIECE as usize) {
        let command = if offset + PIECE == SIZE { "upload, finalize" } else { "upload" };
        let head = head(&format!("x-goog-upload-command: {command}\r\nx-goog-upload-offset: {offset}\r\n"));
        let request =
            Request { method: "POST", path: &address, head: &head, before: "", zeros: PIECE, after: "" };
        let sent = send(libra.address(), &request)?;
        match command {
            "upload" => expect(&sent)?,
            _ => arrived(&sent)?,
        }
    }
    Ok(())
}

fn multipart(libra: &Server) -> Result<(), String> {
    let head =
        head("content-type: multipart/related; boundary=mark\r\nx-goog-upload-protocol: multipart\r\n");
    let before = "--mark\r\ncontent-type: application/json\r\n\r\n{\"file\":{\"displayName\":\"large\"}}\r\n\
                  --mark\r\ncontent-type: video/mp4\r\n\r\n";
    let request = Request {
        method: "POST",
        path: "/upload/v1beta/files?uploadType=multipart",
        head: &head,
        before,
        zeros: SIZE,
        after: "\r\n--mark--\r\n",
    };
    arrived(&send(libra.address(), &request)?)
}

fn film(libra: &Server) -> Result<(), String> {
    let json = head("content-type: application/json\r\n");
    let ask = |method, path: &str, body: &str| {
        send(libra.address(), &Request { method, path, head: &json, before: body, zeros: 0, after: "" })
    };
    let prompt = format!("{{\"instances\":[{{\"prompt\":\"a film {{{{bytes={SIZE}}}}}\"}}]}}");
    let begun = ask("POST", "/v1beta/models/veo-3.1-generate-preview:predictLongRunning", &prompt)?;
    expect(&begun)?;
    let name = between(&begun.beginning, "\"name\":", "\"models/", "\"")?;
    let done = loop {
        let asked = ask("GET", &format!("/v1beta/models/{name}"), "")?;
        expect(&asked)?;
        if asked.beginning.contains("\"done\"") {
            break asked;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    let file = between(&done.beginning, "\"uri\"", "/v1beta/files/", ":download")?;
    let answer = ask("GET", &format!("/v1beta/files/{file}:download?alt=media"), "")?;
    expect(&answer)?;
    if answer.size == SIZE { Ok(()) } else { Err(format!("{} bytes came", answer.size)) }
}

/// Begins an upload. The path at which it goes on.
fn begin(libra: &Server) -> Result<String, String> {
    let head = head(&format!(
        "content-type: application/json\r\nx-goog-upload-protocol: resumable\r\nx-goog-upload-command: start\r\n\
         x-goog-upload-header-content-length: {SIZE}\r\nx-goog-upload-header-content-type: video/mp4\r\n"
    ));
    let body = r#"{"file":{"displayName":"large"}}"#;
    let path = "/upload/v1beta/files";
    let begun = send(
        libra.address(),
        &Request { method: "POST", path, head: &head, before: body, zeros: 0, after: "" },
    )?;
    expect(&begun)?;
    let address = begun.header("x-goog-upload-url").ok_or("the upload has no address")?;
    address.strip_prefix(&libra.url()).map(str::to_owned).ok_or_else(|| format!("{address} leads elsewhere"))
}

fn head(more: &str) -> String {
    format!("x-goog-api-key: {CLIENT_KEY}\r\n{more}")
}

fn expect(answer: &Answer) -> Result<(), String> {
    match answer.status {
        200 => Ok(()),
        status => Err(format!("{status} {}", answer.beginning.chars().take(300).collect::<String>())),
    }
}

/// The file is there, and whole.
fn arrived(answer: &Answer) -> Result<(), String> {
    expect(answer)?;
    let size = format!("\"{SIZE}\"");
    if answer.beginning.contains(&size) { Ok(()) } else { Err(format!("not whole: {}", answer.beginning)) }
}

/// What stands between two marks, behind another one.
fn between<'a>(text: &'a str, behind: &str, first: &str, last: &str) -> Result<&'a str, String> {
    let found = text.split_once(behind).and_then(|(_, rest)| rest.split_once(first));
    let found = found.and_then(|(_, rest)| rest.split_once(last)).map(|(found, _)| found);
    found.ok_or_else(|| format!("no {first} in {text}"))
}
