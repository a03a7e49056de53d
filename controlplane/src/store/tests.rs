//! The store over real files and in memory: what outlives a restart, what is refused, what is
//! forgotten.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::usage::{Amount, By, Usage};
use super::*;
use crate::auth::sha256;

fn opened(directory: &Path) -> Result<(Store, StoreThread), String> {
    Store::open(Some(directory)).map_err(|error| error.to_string())
}

fn memory() -> Connection {
    let mut db = Connection::open_in_memory().unwrap();
    schema::migrate(&mut db).unwrap();
    db
}

fn used(app: &str, session: &str, identifier: &str, egress: u64) -> Usage {
    let amount = Amount { ingress: 1, egress, track_ms: 500 };
    let owned = str::to_owned;
    Usage { app: owned(app), session: owned(session), identifier: owned(identifier), amount }
}

#[test]
fn a_key_is_drawn_once_for_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let (state, random) = (folder.path().join("state"), SystemRandom::new());
    let key = || super::key(Some(&state), &random);
    assert!(matches!(key(), Err(StoreError::Place { .. })), "no directory yet");
    let (_store, _thread) = Store::open(Some(&state)).unwrap();
    let first = key().unwrap();
    assert_eq!(key().unwrap(), first);
    let file = state.join("key");
    assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
    assert!(!state.join("key.new").exists());
    // What is not ours is left as it is.
    std::fs::write(&file, "short").unwrap();
    assert!(matches!(key(), Err(StoreError::Unsound { .. })));
    assert_eq!(std::fs::read(&file).unwrap(), b"short");
    assert_ne!(super::key(None, &random).unwrap(), super::key(None, &random).unwrap());
}

#[test]
fn apps_and_usage_outlive_their_server_in_files_of_its_owner_alone() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("a/state");
    let (store, thread) = opened(&directory).unwrap();
    let digest = sha256(b"a secret");
    let made = store.run_blocking(move |db| apps::insert(db, "u1", &digest, "call", 86_400));
    let made = made.unwrap().unwrap();
    assert_eq!((made.uid.as_str(), made.name.as_str()), ("u1", "call"));
    assert_eq!((made.created.as_str(), &made.modified), ("1970-01-02T00:00:00Z", &made.created));
    store.run_blocking(|db| usage::add(db, &[used("u1", "s1", "", 7)], 1_000)).unwrap();
    assert_eq!(directory.metadata().unwrap().mode() & 0o777, 0o700);
    let mut files = 0;
    for entry in directory.read_dir().unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().mode() & 0o777, 0o600, "{entry:?}");
        files += 1;
    }
    assert!(files >= 3, "database, its log, lock: {files}");
    let refused = opened(&directory).unwrap_err();
    assert!(refused.contains("another server uses this directory"), "{refused}");
    drop(thread);
    assert!(matches!(store.run_blocking(|_| Ok(())), Err(StoreError::Ended)));

    let (store, _thread) = opened(&directory).unwrap();
    let kept = store.run_blocking(|db| Ok((apps::list(db)?, apps::digests(db)?))).unwrap();
    assert_eq!(kept, (vec![made], vec![("u1".to_owned(), digest)]));
    let lines = store.run_blocking(|db| usage::query(db, "u1", (0, 2_000), By::App)).unwrap();
    assert_eq!((lines[0].egress_bytes, lines[0].track_seconds), (7, 0.5));
}

#[test]
fn what_is_no_database_of_ours_is_refused_and_left_as_it_is() {
    let kept = tempfile::tempdir().unwrap();
    let directory = kept.path();
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700)).unwrap();
    let file = directory.join("fanfall.db");
    drop(opened(directory).unwrap());
    let sound = std::fs::read(&file).unwrap();
    assert!(sound.len() > 4_096, "one page and more");

    let with = |bytes: &[u8], part: &str| {
        std::fs::write(&file, bytes).unwrap();
        let refused = opened(directory).map(|_| ()).unwrap_err();
        assert!(refused.contains(part) && refused.contains("fanfall.db"), "{refused}");
        assert_eq!(std::fs::read(&file).unwrap(), bytes, "left as it is");
    };
    with(&[7; 5_000], "not a sound database");
    let mut torn = sound.clone();
    torn[4_096..].fill(0x55);
    with(&torn, "not a sound database");
    with(&sound[..4_096], "not a sound database");
    // The header's fields at 60 and 68 (SQLite file format, section 1.3).
    let mut newer = sound.clone();
    newer[60..64].copy_from_slice(&99u32.to_be_bytes());
    with(&newer, "written by a later version (schema 99");
    let mut foreign = sound.clone();
    foreign[68..72].copy_from_slice(&1u32.to_be_bytes());
    with(&foreign, "another program's");

    std::fs::write(&file, &sound).unwrap();
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o750)).unwrap();
    assert!(opened(directory).unwrap_err().contains("chmod 700"));
    let nowhere = opened(Path::new("/proc/no/such")).unwrap_err();
    assert!(nowhere.starts_with("/proc/no/such: "), "{nowhere}");
}

#[test]
fn an_app_is_renamed_rotated_and_deleted_by_its_id_alone() {
    let db = memory();
    let (one, two) = (sha256(b"1"), sha256(b"2"));
    apps::insert(&db, "a", &one, "", 10).unwrap();
    apps::insert(&db, "b", &two, "bee", 20).unwrap();
    let renamed = apps::rename(&db, "a", "x'; DROP TABLE app; --", 30).unwrap().unwrap();
    assert_eq!(renamed.name, "x'; DROP TABLE app; --");
    assert_eq!(renamed.modified, "1970-01-01T00:00:30Z");
    assert!(apps::rotate(&db, "b", &one, 40).unwrap().is_some());
    assert_eq!(apps::digests(&db).unwrap(), [("a".into(), one), ("b".into(), one)]);
    assert_eq!(apps::read(&db, "b").unwrap().unwrap().modified, "1970-01-01T00:00:40Z");
    for app in ["a", "b"] {
        webhooks::insert(&db, [app, app, "https://x", "track.started"], 50).unwrap().unwrap();
    }
    assert_eq!(apps::delete(&db, "a").unwrap().map(|app| app.uid), Some("a".to_owned()));
    let left = webhooks::all(&db).unwrap();
    assert_eq!(left.iter().map(|webhook| webhook.app.as_str()).collect::<Vec<_>>(), ["b"]);
    for gone in [apps::delete(&db, "a"), apps::read(&db, "a"), apps::rename(&db, "a", "", 1)] {
        assert_eq!(gone.unwrap(), None);
    }
    assert_eq!(apps::list(&db).unwrap().len(), 1);
}

#[test]
fn usage_is_summed_by_app_session_and_identifier_within_its_range() {
    let mut db = memory();
    let first = [used("a", "s1", "ann", 10), used("a", "s2", "bob", 20), used("b", "s3", "", 99)];
    usage::add(&mut db, &first, 900).unwrap();
    usage::add(&mut db, &[used("a", "s1", "ann", 5)], 1_199).unwrap();
    usage::add(&mut db, &[used("a", "s4", "ann", 40)], 1_200).unwrap();
    let ask = |range, by| {
        let lines = usage::query(&db, "a", range, by).unwrap();
        let name = |line: &usage::Line| {
            let id = line.session_id.clone().or(line.custom_identifier.clone());
            (id.unwrap_or_default(), line.egress_bytes)
        };
        lines.iter().map(name).collect::<Vec<_>>()
    };
    let owned = |pairs: &[(&str, i64)]| {
        pairs.iter().map(|(id, egress)| ((*id).to_owned(), *egress)).collect::<Vec<_>>()
    };
    assert_eq!(ask((0, 9_999), By::App), owned(&[("", 75)]));
    assert_eq!(ask((900, 1_200), By::App), owned(&[("", 35)]));
    assert_eq!(ask((901, 1_200), By::App), owned(&[("", 0)]));
    assert_eq!(ask((0, 9_999), By::Session), owned(&[("s4", 40), ("s2", 20), ("s1", 15)]));
    assert_eq!(ask((0, 9_999), By::Identifier), owned(&[("ann", 55), ("bob", 20)]));
}

#[test]
fn old_usage_is_kept_by_the_hour_and_then_forgotten() {
    let mut db = memory();
    let start = 40 * usage::COARSE_SLOT;
    usage::add(&mut db, &[used("a", "s", "ann", 1)], start).unwrap();
    usage::add(&mut db, &[used("a", "s", "ann", 2)], start + 600).unwrap();
    let rows = |db: &Connection| -> (i64, i64) {
        let sql = "SELECT count(*), sum(egress) FROM usage WHERE app = 'a'";
        db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    assert_eq!(rows(&db), (2, 3));
    let later = start + usage::FINE;
    usage::add(&mut db, &[used("b", "t", "", 1)], later - 1).unwrap();
    assert_eq!(rows(&db), (2, 3), "not two days old yet");
    usage::add(&mut db, &[used("b", "t", "", 1)], later + usage::COARSE_SLOT).unwrap();
    assert_eq!(rows(&db), (1, 3));
    let line = &usage::query(&db, "a", (start, start + 1), By::Identifier).unwrap()[0];
    assert_eq!((line.custom_identifier.as_deref(), line.track_seconds), (Some("ann"), 1.0));
    usage::add(&mut db, &[used("b", "t", "", 1)], start + 40 * 24 * 3_600).unwrap();
    let all: i64 = db.query_row("SELECT count(*) FROM usage", [], |row| row.get(0)).unwrap();
    assert_eq!(all, 1, "only the newest");
}

#[test]
fn instants_are_numbers_or_dates() {
    let db = memory();
    let ask = |text: &str| usage::instant(&db, text).unwrap();
    assert_eq!(ask("1700000000"), Some(1_700_000_000));
    assert_eq!(ask("2023-11-14T22:13:20Z"), Some(1_700_000_000));
    assert_eq!(ask("2023-11-14T23:13:20+01:00"), Some(1_700_000_000));
    for wrong in ["", "yesterday", "2023-13-01T00:00:00Z", "1e400", "2023-11-14T22:13:20Z; x"] {
        assert_eq!(ask(wrong), None, "{wrong}");
    }
    assert_eq!(usage::date(&db, 1_700_000_000).unwrap(), "2023-11-14T22:13:20Z");
    assert_eq!(usage::date(&db, i64::MAX).unwrap(), "");
}
