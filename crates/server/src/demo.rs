//! The demonstration: a simulated Gemini in this process, and lines to paste.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use libra_core::clients::Clients;
use libra_core::config::{Config, PoolKey};
use libra_core::secret::ApiKey;
use libra_simulator::{Clock, Simulator};

/// The key that the demonstration's client sends.
const CLIENT: &str = "demo";

/// Starts the simulator and points the configuration at it.
pub(crate) fn prepare(config: &mut Config) -> io::Result<()> {
    let listener = libra_simulator::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let upstream = format!("http://{}", listener.local_addr()?);
    let simulator = Simulator::new(libra_simulator::demo::config(), Clock::system(), 1);
    tokio::spawn(libra_simulator::serve(simulator, listener));
    config.upstream = upstream.parse().map_err(io::Error::other)?;
    let keys = libra_simulator::demo::keys();
    config.keys = keys.iter().map(|key| PoolKey::from(ApiKey::new(key))).collect();
    config.clients = Clients::from_iter([ApiKey::new(CLIENT)]);
    Ok(())
}

/// What to paste, for every protocol.
pub(crate) fn lines(address: SocketAddr) -> String {
    let base = format!("http://{address}");
    let json = "-H 'Content-Type: application/json'";
    let google = format!("-H 'x-goog-api-key: {CLIENT}'");
    let bearer = format!("-H 'Authorization: Bearer {CLIENT}'");
    let gemini = r#"-d '{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}'"#;
    let chat = |more: &str| {
        format!(
            r#"-d '{{"model":"gemini-2.5-flash","messages":[{{"role":"user","content":"Hello"}}]{more}}}'"#
        )
    };
    let model = format!("{base}/v1beta/models/gemini-2.5-flash");
    [
        "The upstream is a simulator with 12 keys in 5 projects, some of them leaked, invalid or at their limit."
            .to_owned(),
        "上游是模拟器：5 个项目共 12 个密钥，其中有泄露、无效和已达限额的。".to_owned(),
        String::new(),
        "# Gemini".to_owned(),
        format!("curl {model}:generateContent {google} {json} {gemini}"),
        format!("curl -N '{model}:streamGenerateContent?alt=sse' {google} {json} {gemini}"),
        format!("curl {model}:countTokens {google} {json} {gemini}"),
        format!(
            r#"curl {base}/v1beta/models/gemini-embedding-001:embedContent {google} {json} -d '{{"content":{{"parts":[{{"text":"Hello"}}]}}}}'"#
        ),
        format!("curl '{base}/v1beta/models?pageSize=3' {google}"),
        "# OpenAI".to_owned(),
        format!("curl {base}/v1/chat/completions {bearer} {json} {}", chat("")),
        format!("curl -N {base}/v1/chat/completions {bearer} {json} {}", chat(r#","stream":true"#)),
        format!("curl {base}/v1/models {bearer}"),
        "# Are these keys good?".to_owned(),
        format!("curl -N -X POST {base}/verify {bearer} -H 'x-goog-api-key: {}'", sample()),
        String::new(),
    ]
    .join("\n")
}

/// Some of the demonstration's keys; all of them are made up.
fn sample() -> String {
    libra_simulator::demo::keys().join(",")
}
