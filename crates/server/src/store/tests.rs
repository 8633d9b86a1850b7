use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use http::StatusCode;
use libra_core::clients::Clients;
use libra_core::config::{Config, PoolKey};
use libra_core::contents::Content;
use libra_core::error::Dialect;
use libra_core::event::{Ending, Finished, Usage};
use libra_core::failure::{LimitKind, Why};
use libra_core::mark::RequestId;
use libra_core::pool::{By, ProjectId, StateChange};
use libra_core::secret::{ApiKey, KeyId};
use libra_core::time::Timestamp;

use super::*;

/// A folder of a test's own, which goes with it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("libra-store-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A request of the pool's client that ended well.
pub(super) fn ended(at: u64) -> Entry {
    Entry::of(&event(at), Timestamp::from_millis(at)).expect("an entry")
}

fn event(number: u64) -> Event {
    Event::Finished(Finished {
        request: RequestId::new(number),
        client: ApiKey::new(CLIENT).id(),
        dialect: Dialect::OpenAi,
        model: Some("gemini-2.5-flash".to_owned()),
        status: StatusCode::OK,
        ending: Ending::Complete,
        attempts: 2,
        key: Some(ApiKey::new(KEY).id()),
        usage: Some(Usage { prompt: 3, total: 5 }),
        stand_ins: 0,
        elapsed: Duration::from_millis(70),
    })
}

const CLIENT: &str = "client-key-of-the-tests";
const KEY: &str = "fixture-key-1";
const OTHER: &str = "fixture-key-2";

fn gateway() -> Arc<Gateway> {
    let config = Config {
        keys: [KEY, OTHER].map(|key| PoolKey::from(ApiKey::new(key))).into(),
        clients: Clients::from_iter([ApiKey::new(CLIENT)]),
        ..Config::default()
    };
    Gateway::new(config, 1)
}

fn settings(folder: &Path) -> StoreSettings {
    let retention = Retention { age: Duration::from_secs(30 * 86_400), size: 500_000_000 };
    StoreSettings { place: Place::Named(folder.to_owned()), secret: None, new_secret: None, retention }
}

fn opened(folder: &Path) -> Opened {
    open(&settings(folder)).expect("it can be used").expect("one is wanted")
}

/// A connection of a test's own, beside the gateway's.
fn look(folder: &Path) -> Connection {
    let database = Connection::open(folder.join("libra.db")).expect("a database");
    database.busy_timeout(Duration::from_secs(5)).expect("it waits");
    database
}

fn number(database: &Connection, sql: &str) -> i64 {
    database.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn id(key: &str) -> KeyId {
    ApiKey::new(key).id()
}

fn soon(secs: u64) -> Timestamp {
    clock::now() + Duration::from_secs(secs)
}

#[test]
fn what_was_learned_is_there_after_a_restart() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("data");
    let project = ProjectId::of_key(id(KEY));
    let file = |object: &str, maker| StateChange::Object {
        object: object.into(),
        key: id(KEY),
        maker,
        until: soon(3600),
    };
    let changes = vec![
        StateChange::SetAside { key: id(OTHER), why: Why::Leaked, since: soon(0) },
        StateChange::Restored { key: id(KEY), at: soon(0) },
        StateChange::Rest { project, model: None, until: soon(90) },
        StateChange::Rest { project, model: Some("m".into()), until: soon(900) },
        StateChange::Limit { project, model: "m".into(), kind: LimitKind::RequestsPerDay, value: 250 },
        StateChange::Spent { project, ends: soon(3600), requests: 7, cost_millionths: 1_500_000 },
        StateChange::Split { key: id(OTHER), by: By::Person, at: soon(0) },
        file("files/a", Some(id(CLIENT))),
        // In the other order, and older: neither counts.
        StateChange::Rest { project, model: None, until: soon(30) },
        StateChange::Spent { project, ends: soon(3590), requests: 6, cost_millionths: 1 },
        StateChange::Spent { project, ends: Timestamp::EPOCH, requests: 99, cost_millionths: 99 },
        StateChange::SetAside { key: id(KEY), why: Why::Invalid, since: Timestamp::from_millis(1) },
        file("files/a", None),
        file("live/old", None),
        StateChange::Forgotten { object: "live/old".into() },
    ];
    let store = opened(&folder).begin(&gateway()).expect("a store");
    store.queue.learned(changes, Vec::new());
    store.record(&event(1));
    store.record(&event(2));
    store.end();

    let database = look(&folder);
    assert_eq!(number(&database, "SELECT count(*) FROM requests WHERE prompt_tokens = 3"), 2);
    assert_eq!(number(&database, "SELECT requests FROM usage WHERE client != 0 AND project != 0"), 2);
    assert_eq!(number(&database, "SELECT total_tokens FROM usage"), 10);
    let rest = rows::time_of(number(&database, "SELECT until FROM rests WHERE model = ''"));
    assert!(rest > soon(60), "the later end counts");
    assert_eq!(number(&database, "SELECT maker IS NOT NULL FROM objects"), 1);
    assert_eq!(
        number(&database, "SELECT requests = 7 AND cost = 1500000 FROM spent"),
        1,
        "the greater counts"
    );
    let tomorrow = StateChange::Spent { project, ends: soon(3600 + 86_400), requests: 1, cost_millionths: 0 };

    let after = gateway();
    let store = opened(&folder).begin(&after).expect("a store");
    assert_eq!(after.pool_size(), (2, 1), "the leaked key is set aside, the other one was restored");
    let view = serde_json::to_value(after.view(clock::now())).expect("JSON").to_string();
    assert!(view.contains("leaked") && view.contains("250"), "{view}");
    store.queue.learned(vec![tomorrow], Vec::new());
    store.end();
    assert_eq!(number(&database, "SELECT requests = 1 AND cost = 0 FROM spent"), 1, "another day");
}

#[test]
fn contents_are_sealed_and_open_again() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("data");
    let said = br#"["said in confidence",null]"#;
    let call = |name: u8| Content::Call { name: [name; 16], said: said.as_slice().into() };
    let store = opened(&folder).begin(&gateway()).expect("a store");
    store.queue.learned(Vec::new(), vec![call(1), call(2)]);
    store.end();
    let bytes = fs::read(folder.join("libra.db")).expect("a file");
    assert!(!bytes.windows(8).any(|window| window == b"said in "), "it can be read");

    let database = look(&folder);
    database.execute("UPDATE calls SET name = ?1 WHERE name = ?2", [[3; 16], [2; 16]]).expect("a row");
    let Opened { database, seal, .. } = opened(&folder);
    let loaded = load::load(&database, &seal, &gateway(), clock::now()).expect("it can be read");
    assert_eq!((loaded.contents, loaded.unreadable), (1, 1), "nobody passes one off as another");
    drop(database);

    let secret = Some(ApiKey::new("another secret of thirty-two characters"));
    let refused =
        open(&StoreSettings { secret, ..settings(&folder) }).map(|_| ()).expect_err("another secret");
    assert!(matches!(refused, StoreError::OtherSecret(_)), "{refused}");
}

/// A disk that hangs: somebody holds the database, and nothing can be written.
#[test]
fn a_hanging_disk_holds_nobody_up() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("data");
    let store = opened(&folder).begin(&gateway()).expect("a store");
    let other = look(&folder);
    other.execute_batch("BEGIN IMMEDIATE").expect("nobody writes");
    let event = event(1);
    let began = Instant::now();
    for _ in 0..100_000 {
        store.record(&event);
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?} for what costs some microseconds each");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let began = Instant::now();
    runtime.block_on(store.flushed());
    assert!(began.elapsed() < PATIENCE * 4, "whoever waits for it waits for {PATIENCE:?}");
    other.execute_batch("ROLLBACK").expect("free again");
    store.end();
    assert_eq!(number(&other, "SELECT sum(requests) FROM usage"), 100_000, "they are counted");
    let logged = number(&other, "SELECT count(*) FROM requests");
    assert!((32_768..100_000).contains(&logged), "{logged}");
}

#[test]
fn a_full_disk_is_outlived() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("data");
    let opened = opened(&folder);
    let pages = number(&opened.database, "PRAGMA page_count");
    opened.database.pragma_update(None, "max_page_count", pages).expect("full");
    let store = opened.begin(&gateway()).expect("a store");
    let call = Content::Call { name: [1; 16], said: vec![b' '; 100_000].into() };
    store.queue.learned(Vec::new(), vec![call]);
    thread::sleep(Duration::from_millis(600));
    assert_eq!(number(&look(&folder), "SELECT count(*) FROM calls"), 0);
    let began = Instant::now();
    store.end();
    assert!(began.elapsed() < FAREWELL / 2, "the process ends all the same");
    self::opened(&folder);
}

#[test]
fn what_is_old_or_too_much_goes() {
    let scratch = Scratch::new();
    let Opened { mut database, retention, .. } = opened(&scratch.path().join("data"));
    let now = Timestamp::from_millis(1_800_000_000_000);
    let old = now - retention.age;
    let log = |database: &Connection, at: Timestamp, count: u32| {
        let sql = "INSERT INTO requests SELECT NULL, ?1, 'r', 1, 'd', 'm', 200, 'e', 1, 1, 1, 1, 1, 1
                   FROM (WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?2) SELECT n FROM n)";
        database.execute(sql, [rows::time(at), count.into()]).expect("rows");
    };
    log(&database, old - Duration::from_secs(1), 2500);
    log(&database, old, 5);
    let usage = "INSERT INTO usage VALUES (?1, 0, 0, '', 1, 0, 1, 0, 0)";
    for at in [old - Duration::from_secs(86_400), old, now] {
        database.execute(usage, [at.pacific_day()]).expect("a row");
    }
    // 1 is over and 2 was deleted, but 3 goes on from them; nothing goes on from 4; 5 is over.
    let answers = [(1, 0, 1, -1), (2, 1, 0, 1), (3, 2, 1, 1), (4, 0, 0, 1), (5, 3, 1, -1)];
    for (id, before, shown, hours) in answers {
        let before = (before > 0).then(|| before.to_string());
        let until = rows::time(now) + hours * 3_600_000;
        let row = (id.to_string(), before, until, shown);
        database.execute("INSERT INTO answers VALUES (?1, 1, ?2, ?3, ?4, x'00')", row).expect("a row");
    }
    let mut steps = 0;
    while retention.step(&mut database, now).expect("a step") {
        steps += 1;
        assert!(steps < 10);
    }
    assert_eq!(steps, 3, "in small steps");
    assert_eq!(number(&database, "SELECT count(*) FROM requests"), 5);
    assert_eq!(number(&database, "SELECT count(*) FROM usage"), 2);
    assert_eq!(number(&database, "SELECT group_concat(id) = '1,2,3' FROM answers"), 1);

    log(&database, now, 50_000);
    let small = Retention { size: 2_000_000, ..retention };
    while small.step(&mut database, now).expect("a step") {
        steps += 1;
        assert!(steps < 200);
    }
    let left = number(&database, "SELECT count(*) FROM requests");
    assert!((1_000..50_000).contains(&left), "{left}");
    let size = number(&database, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size");
    assert!(size < 4_000_000 + 2 * 2000 * 4096, "{size}: the disk gets it back");
}

#[test]
fn a_backup_is_made_while_a_gateway_writes_and_restored_when_none_does() {
    let scratch = Scratch::new();
    let (folder, file) = (scratch.path().join("data"), scratch.path().join("copy.db"));
    let settings = settings(&folder);
    assert!(matches!(backup(&settings, &file), Err(StoreError::Nothing(_))));
    let store = opened(&folder).begin(&gateway()).expect("a store");
    let record = |number| store.record(&event(number));
    record(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(store.queue.flushed());
    backup(&settings, &file).expect("a backup");
    let again = backup(&settings, &file).expect_err("it is there");
    assert!(again.to_string().ends_with("it is there already; it is not overwritten"), "{again}");
    record(2);
    assert!(matches!(restore(&settings, &file), Err(StoreError::InUse(_))));
    store.end();
    assert_eq!(number(&look(&folder), "SELECT count(*) FROM requests"), 2);
    restore(&settings, &file).expect("it is restored");
    assert_eq!(number(&look(&folder), "SELECT count(*) FROM requests"), 1);
    let kept = Connection::open(folder.join("libra.db.before-restore")).expect("what was there");
    assert_eq!(number(&kept, "SELECT count(*) FROM requests"), 2);
    drop(kept);
    restore(&settings, &file).expect("once more");
    opened(&folder);

    fs::write(scratch.path().join("text"), "no database at all, but long enough to look").expect("a file");
    for wrong in ["text", "nowhere"] {
        assert!(restore(&settings, &scratch.path().join(wrong)).is_err(), "{wrong}");
        opened(&folder);
    }
}

#[test]
fn a_place_that_was_not_named_may_be_missing() {
    let scratch = Scratch::new();
    let usual = |folder| StoreSettings { place: Place::Usual(folder), ..settings(Path::new("")) };
    assert!(open(&usual(None)).is_ok_and(|opened| opened.is_none()));
    let file = scratch.path().join("file");
    fs::write(&file, "").expect("a file");
    assert!(open(&usual(Some(file.join("libra")))).is_ok_and(|opened| opened.is_none()), "it cannot be made");
    let named = open(&settings(&file.join("libra"))).map(|_| ()).expect_err("this one was asked for");
    assert!(matches!(named, StoreError::Folder { .. }), "{named}");
    let nowhere = StoreSettings { place: Place::Nowhere, ..settings(Path::new("")) };
    assert!(open(&nowhere).is_ok_and(|opened| opened.is_none()));
}
