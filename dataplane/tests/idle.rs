//! A core without work sleeps. Alone in its binary: it counts the time of all core threads.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use dataplane::{Config, DataPlane, DriverChoice};

#[test]
fn an_idle_core_sleeps() {
    for driver in [DriverChoice::Uring, DriverChoice::Mmsg] {
        let binds = vec!["127.0.0.1:0".parse().unwrap()];
        let config = Config { driver, ..Config::new(binds, 1, [7; 32]) };
        let plane = DataPlane::start(config).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let before = core_time();
        std::thread::sleep(Duration::from_millis(1_000));
        let used = core_time().saturating_sub(before);
        assert!(used < Duration::from_millis(200), "{driver:?}: an idle core used {used:?}");
        drop(plane);
    }
}

/// Processor time of all threads of this process that are cores.
fn core_time() -> Duration {
    let mut sum = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        let name = std::fs::read_to_string(task.join("comm")).unwrap_or_default();
        if name.starts_with("core-") {
            let stat = std::fs::read_to_string(task.join("schedstat")).unwrap_or_default();
            sum += stat.split(' ').next().and_then(|time| time.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Duration::from_nanos(sum)
}
