//! Settings that change while the real binary serves: a file is changed, a signal is sent, a store is sealed anew.

mod kept;
mod running;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kept::Folder;
use libra_simulator::{Condition, Simulator};
use running::{CLIENT, GENERATE, Running, native, simulator};

const FIRST: &str = "fixture-key-that-comes-first";
const SECOND: &str = "fixture-key-that-comes-second";
const OTHER_CLIENT: &str = "another-client-key-of-the-tests";

/// A folder with a `libra.toml`.
struct Place(Folder);

impl Place {
    fn new(text: &str) -> Self {
        let this = Self(Folder::new());
        fs::create_dir_all(&this.0.0).expect("a folder");
        this.write(text);
        this
    }

    fn file(&self) -> PathBuf {
        self.0.0.join("libra.toml")
    }

    /// Puts another file in the place, as editors do.
    fn write(&self, text: &str) {
        let fresh = self.0.0.join("fresh");
        fs::write(&fresh, text).expect("a file");
        fs::rename(fresh, self.file()).expect("it takes the place");
    }

    fn data(&self) -> String {
        self.0.0.join("data").display().to_string()
    }

    async fn start(&self, simulator: &Arc<Simulator>) -> Running {
        let (file, data) = (self.file(), self.data());
        // No client by the environment, which would win.
        let settings = [("LIBRA_DATA", data.as_str()), ("LIBRA_CLIENTS", "")];
        let arguments = ["--config", file.to_str().expect("a plain path")];
        Running::start_at(Arc::clone(simulator), &settings, &arguments).await
    }
}

async fn logged(running: &Running, text: &str) {
    let began = Instant::now();
    while !running.log().contains(text) {
        assert!(began.elapsed() < Duration::from_secs(20), "{text:?} is not in {}", running.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn hang_up(running: &Running) {
    let process = running.process().to_string();
    assert!(Command::new("kill").args(["-HUP", &process]).status().expect("kill").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_holds_at_once_and_drops_no_request() {
    let simulator = simulator(&[(FIRST, Condition::Healthy), (SECOND, Condition::Healthy)]);
    let place = Place::new(&format!("keys = ['{FIRST}']\nclients = ['{CLIENT}']\n"));
    let running = Arc::new(place.start(&simulator).await);
    let (ended, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let asking = tokio::spawn({
        let (running, ended, served) = (Arc::clone(&running), Arc::clone(&ended), Arc::clone(&served));
        async move {
            while !ended.load(Ordering::Relaxed) {
                let (status, text) = running.post(GENERATE, native("Hello")).await;
                assert_eq!(status, 200, "{text}");
                served.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    // The file is seen to change by itself.
    place.write(&format!("keys = ['{FIRST}', '{SECOND}']\nclients = ['{CLIENT}', '{OTHER_CLIENT}']\n"));
    let began = Instant::now();
    while simulator.counts().key(SECOND).requests == 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", running.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // A wrong one is refused, and all goes on.
    place.write("keys = [\nclients = 7\n");
    logged(&running, "the settings stay as they were: ").await;
    assert!(running.log().contains("line 2 is not valid TOML"), "{}", running.log());
    assert!(running.log().contains("libra.toml"), "it is named");
    // A signal has it read at once; the first key is taken out.
    place.write(&format!("keys = ['{SECOND}']\nclients = ['{CLIENT}']\n"));
    let before = running.log().matches("the settings were read again").count();
    hang_up(&running);
    let began = Instant::now();
    while running.log().matches("the settings were read again").count() == before {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", running.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let first = simulator.counts().key(FIRST).requests;
    let enough = served.load(Ordering::Relaxed) + 20;
    while served.load(Ordering::Relaxed) < enough {
        assert!(!asking.is_finished(), "a request has failed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(simulator.counts().key(FIRST).requests, first, "a removed key is not used again");
    ended.store(true, Ordering::Relaxed);
    asking.await.expect("every request was answered");
    let mut request = running.request(http::Method::POST, GENERATE, native("Hello"));
    let bearer = format!("Bearer {OTHER_CLIENT}").parse().expect("a header");
    request.headers_mut().insert("authorization", bearer);
    assert_eq!(running.send(request).await.status(), 401, "a client that was taken out");
}

fn libra(folder: &Folder, arguments: &[&str], settings: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_libra"));
    command.env_clear().current_dir(&folder.0).args(arguments).stdin(Stdio::null());
    command.envs(settings.iter().copied());
    let Output { status, stdout, stderr } = command.output().expect("libra runs");
    let text = [stdout, stderr].map(|text| String::from_utf8(text).expect("text")).concat();
    (status.code(), text)
}

#[test]
fn settings_are_checked_without_a_start() {
    let place = Place::new("strategy = 'random'\n\n[custom_llm]\napi_key = 'a-secret-that-is-not-shown'\n");
    fs::write(place.0.0.join(".env"), "# keys\nLIBRA_QUEUE_SIZE=many\nLIBRA_KEYS=fixture-key-of-the-check\n")
        .expect("a file");
    let (code, text) = libra(&place.0, &["config", "check"], &[("LIBRA_DEADLINE", "9s")]);
    assert_eq!(code, Some(2), "{text}");
    for expected in [
        "LIBRA_STRATEGY      random  libra.toml",
        "LIBRA_DEADLINE      9s      environment",
        "CUSTOM_LLM_API_KEY  (set)   libra.toml",
        "LIBRA_KEYS          (set)   .env",
        "wrong: LIBRA_QUEUE_SIZE (.env, line 2): ",
        "wrong: custom_llm_api_key (libra.toml, line 4): is set, but CUSTOM_LLM_BASE_URL is not",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in {text}");
    }
    assert!(!text.contains("secret-that") && !text.contains("fixture-key"), "{text}");
    fs::remove_file(place.0.0.join(".env")).expect("it is there");
    fs::write(place.0.0.join("other.toml"), "strategy = 'random'\n").expect("a file");
    let (code, text) = libra(&place.0, &["config", "check", "other.toml"], &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("other.toml") && text.ends_with("the settings can be used\n"), "{text}");
    let (code, text) = libra(&place.0, &["config", "check", "none.toml"], &[]);
    assert!(code == Some(2) && text.contains("none.toml: cannot be read"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_sealed_anew_while_no_gateway_runs() {
    let simulator = simulator(&[(FIRST, Condition::Healthy)]);
    let place = Place::new(&format!("keys = ['{FIRST}']\nclients = ['{CLIENT}']\n"));
    let running = place.start(&simulator).await;
    let data = place.data();
    let (code, text) = libra(&place.0, &["keys", "rekey"], &[("LIBRA_DATA", &data)]);
    assert!(code == Some(1) && text.contains("another libra uses the data folder"), "{text}");
    drop(running);
    let secret = || fs::read_to_string(place.0.0.join("data/secret")).expect("a secret");
    let before = secret();
    let (code, text) = libra(&place.0, &["keys", "rekey"], &[("LIBRA_DATA", &data)]);
    assert_eq!(code, Some(0), "{text}");
    assert_ne!(secret(), before);
    let running = place.start(&simulator).await;
    assert_eq!(running.post(GENERATE, native("Hello")).await.0, 200);
}
