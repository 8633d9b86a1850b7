//! The real binary and the simulator, both on loopback, and a client for them.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use libra_simulator::{Clock, Condition, Config, Fault, Key, Limits, Project, Simulator};

pub const CLIENT: &str = "client-key-of-the-tests";

/// `libra` with a simulated Gemini behind it. Both end with it.
pub struct Running {
    pub base: String,
    pub simulator: Arc<Simulator>,
    pub http: Client<HttpConnector, Full<Bytes>>,
    child: Child,
    log: Arc<Mutex<String>>,
}

/// A simulator whose projects have one key each, in the condition given.
pub fn simulator(keys: &[(&str, Condition)]) -> Arc<Simulator> {
    let projects = keys.iter().map(|(key, condition)| Project {
        keys: vec![Key::new(*key, *condition)],
        ..Project::new(format!("project of {key}"), Limits::default(), &[])
    });
    let config = Config { projects: projects.collect(), ..Config::default() };
    Simulator::new(config, Clock::system(), 1)
}

pub fn faulty(fault: Fault) -> Condition {
    Condition::Faulty(fault)
}

impl Running {
    /// Starts both; `settings` are more variables for libra.
    pub async fn start(simulator: Arc<Simulator>, settings: &[(&str, &str)]) -> Self {
        Self::start_at(simulator, settings, &[]).await
    }

    /// The same with arguments for libra.
    pub async fn start_at(simulator: Arc<Simulator>, settings: &[(&str, &str)], arguments: &[&str]) -> Self {
        let listener = libra_simulator::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
        let upstream = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(libra_simulator::serve(Arc::clone(&simulator), listener));
        Self::start_by(simulator, &upstream, settings, arguments, &[])
    }

    /// The same by another program, which becomes libra: `launcher` and, after it, libra as its last argument.
    pub async fn start_under(
        simulator: Arc<Simulator>,
        launcher: &[&str],
        settings: &[(&str, &str)],
    ) -> Self {
        let listener = libra_simulator::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
        let upstream = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(libra_simulator::serve(Arc::clone(&simulator), listener));
        Self::start_by(simulator, &upstream, settings, &[], launcher)
    }

    /// The same with a log that nobody reads.
    pub async fn start_unread(simulator: Arc<Simulator>, settings: &[(&str, &str)]) -> Self {
        Self::start_at(simulator, &[settings, &[("TEST_UNREAD", "1")]].concat(), &[]).await
    }

    pub fn start_with(simulator: Arc<Simulator>, upstream: &str, settings: &[(&str, &str)]) -> Self {
        Self::start_by(simulator, upstream, settings, &[], &[])
    }

    fn start_by(
        simulator: Arc<Simulator>,
        upstream: &str,
        settings: &[(&str, &str)],
        arguments: &[&str],
        launcher: &[&str],
    ) -> Self {
        let mut words = launcher.iter().copied().chain([env!("CARGO_BIN_EXE_libra")]);
        let mut command = Command::new(words.next().expect("libra at least"));
        command
            .args(words)
            .args(arguments)
            .env_clear()
            .current_dir(std::env::temp_dir())
            .env("LIBRA_LISTEN", "127.0.0.1:0")
            .env("LIBRA_UPSTREAM", upstream)
            .env("LIBRA_CLIENTS", CLIENT)
            .env("LIBRA_LOG", "debug")
            // Whoever tests the store names a folder.
            .env("LIBRA_DATA", "off")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, value) in settings {
            command.env(name, value);
        }
        let mut child = command.spawn().expect("libra starts");
        let log = Arc::new(Mutex::new(String::new()));
        let mut stderr = child.stderr.take().expect("a pipe");
        std::thread::spawn({
            let log = Arc::clone(&log);
            let is_read = !settings.contains(&("TEST_UNREAD", "1"));
            move || {
                if !is_read {
                    // The pipe stays open, and fills.
                    std::thread::sleep(Duration::from_secs(300));
                }
                let mut buffer = [0; 4096];
                while let Ok(read) = stderr.read(&mut buffer)
                    && read > 0
                {
                    log.lock().expect("the log").push_str(&String::from_utf8_lossy(&buffer[..read]));
                }
            }
        });
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        stdout.read_line(&mut line).expect("a line");
        let base = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        assert!(base.contains("://127.0.0.1:"), "{line:?}; {}", log.lock().expect("the log"));
        let http = Client::builder(TokioExecutor::new()).build_http();
        Self { base, simulator, http, child, log }
    }

    pub fn request(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {CLIENT}"))
            .header("content-type", "application/json")
            .body(Full::new(body.into()))
            .expect("a request")
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let answer = tokio::time::timeout(Duration::from_secs(60), self.http.request(request));
        answer.await.expect("an answer in time").expect("an answer")
    }

    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> (u16, String) {
        let answer = self.send(self.request(Method::POST, path, body)).await;
        let status = answer.status().as_u16();
        (status, text(answer).await.expect("a whole body"))
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.send(self.request(Method::GET, path, "")).await;
        let status = answer.status().as_u16();
        (status, text(answer).await.expect("a whole body"))
    }

    /// What libra has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("the log").clone()
    }

    /// Whether the log says this, now or soon: lines are written behind what they tell of.
    pub fn logs(&self, text: &str) -> bool {
        let began = std::time::Instant::now();
        while !self.log().contains(text) {
            if began.elapsed() > Duration::from_secs(10) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// The memory of the process, in bytes, as the system calls it: `VmRSS`, or its peak `VmHWM`. None where it has ended.
    pub fn memory(&self, what: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(what))?;
        let kilobytes: u64 = line.trim_start_matches(':').trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kilobytes << 10)
    }

    /// How many files it has open.
    pub fn open_files(&self) -> Option<usize> {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).ok().map(Iterator::count)
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().expect("it ends")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The whole body; none if it broke off.
pub async fn text(answer: Response<Incoming>) -> Option<String> {
    let body = answer.into_body().collect().await.ok()?.to_bytes();
    Some(String::from_utf8_lossy(&body).into_owned())
}

pub fn native(prompt: &str) -> String {
    serde_json::json!({ "contents": [{ "role": "user", "parts": [{ "text": prompt }] }] }).to_string()
}

pub fn chat(prompt: &str, stream: bool) -> String {
    let messages = serde_json::json!([{ "role": "user", "content": prompt }]);
    serde_json::json!({ "model": "gemini-2.5-flash", "messages": messages, "stream": stream }).to_string()
}

pub const GENERATE: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
pub const STREAM: &str = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse";
pub const ARRAY: &str = "/v1beta/models/gemini-2.5-flash:streamGenerateContent";
pub const CHAT: &str = "/v1/chat/completions";
