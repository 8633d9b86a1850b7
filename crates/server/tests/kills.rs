//! libra ended in the midst of its work, again and again: the store opens, and what was promised is there.
//!
//! `LIBRA_KILLS=200` kills more often: `cargo xtask kill-test`.

mod kept;
mod running;

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use http::Method;
use kept::{Folder, upload};
use libra_simulator::{Condition, Simulator};
use running::{CHAT, CLIENT, Running, chat, simulator};
use rusqlite::Connection;

/// So often libra is killed.
const KILLS: u32 = 20;

/// What was answered so long before the kill has to be in the store.
const PROMISED: Duration = Duration::from_secs(1);

/// Clients that ask without a pause.
const CLIENTS: usize = 4;

/// What clients were told in one life of libra's.
#[derive(Default)]
struct Told {
    /// The requests that were answered, and when.
    requests: Mutex<Vec<(String, Instant)>>,
    /// The files that were made. These are stored before it is said.
    files: Mutex<Vec<String>>,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_no_more_than_the_last_second() {
    let kills = std::env::var("LIBRA_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let folder = Folder::new();
    let keys = ["one", "two", "three", "four"];
    let simulator = simulator(&keys.map(|key| (key, Condition::Healthy)));
    let mut chance = 0x2545_f491_4f6c_dd1d_u64;
    let (mut files, mut logged) = (Vec::new(), 0);
    for kill in 1..=kills {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // Mostly soon, in the midst of what a start does; sometimes late enough for something to be promised.
        let life = Duration::from_millis(if kill % 5 == 0 { 1_500 } else { 20 + (chance >> 33) % 300 });
        let told = live(&simulator, &keys.join(","), &folder, life).await;
        let killed = Instant::now();
        let database = folder.database();
        let sound: String =
            database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("it opens");
        assert_eq!(sound, "ok", "kill {kill}");
        let requests = told.requests.lock().expect("a list").clone();
        let promised = requests.iter().filter(|(_, at)| killed.duration_since(*at) > PROMISED);
        for (request, at) in promised {
            let ago = killed.duration_since(*at);
            assert!(has(&database, "requests", "request", request), "kill {kill}: {request}, {ago:?} before");
            logged += 1;
        }
        files.append(&mut *told.files.lock().expect("a list"));
        for file in &files {
            assert!(has(&database, "objects", "name", file), "kill {kill}: {file}");
        }
    }
    assert!(
        logged > 0 && !files.is_empty(),
        "nothing was promised: {logged} requests, {} files",
        files.len()
    );
    let counted = folder.number("SELECT sum(requests) FROM usage");
    assert_eq!(counted, folder.number("SELECT count(*) FROM requests"), "both or neither");
}

fn has(database: &Connection, table: &str, column: &str, value: &str) -> bool {
    let sql = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE {column} = ?1)");
    database.query_row(&sql, [value], |row| row.get(0)).expect("a row")
}

/// Starts libra, has it work for a while, and kills it.
async fn live(simulator: &Arc<Simulator>, keys: &str, folder: &Folder, life: Duration) -> Arc<Told> {
    let settings = [("LIBRA_KEYS", keys), ("LIBRA_CLIENTS", CLIENT), ("LIBRA_DATA", folder.path())];
    let running = Arc::new(Running::start(Arc::clone(simulator), &settings).await);
    let told = Arc::new(Told::default());
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let (running, told) = (Arc::clone(&running), Arc::clone(&told));
        clients.spawn(async move {
            loop {
                if number == 0 {
                    let (name, _) = upload(&running).await;
                    told.files.lock().expect("a list").push(name);
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    continue;
                }
                let request = running.request(Method::POST, CHAT, chat("Hello", number == 1));
                let answer = running.send(request).await;
                let id = answer.headers()["x-libra-request-id"].to_str().expect("text").to_owned();
                running::text(answer).await.expect("a whole answer");
                told.requests.lock().expect("a list").push((id, Instant::now()));
            }
        });
    }
    tokio::time::sleep(life).await;
    // Nobody is told anything more.
    clients.shutdown().await;
    drop(Arc::into_inner(running).expect("the clients have gone"));
    told
}
