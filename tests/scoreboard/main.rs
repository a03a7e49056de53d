//! Prints the scoreboard of media quality: each row one simulated trial with a fixed seed, so that
//! the same program prints the same text. Started by `cargo xtask scoreboard`, which keeps the text
//! in the repository; compares nothing itself.

mod matrix;
mod table;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use matrix::{Case, Result};

fn main() {
    let cases = matrix::cases();
    let results = run(&cases);
    print!("{}", table::text(&cases, &results));
}

/// Runs every case, as many at once as there are processors; results in the order of the cases.
fn run(cases: &[Case]) -> Vec<Result> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result)>> = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = case.run();
                    eprintln!("{}", case.name);
                    let mut done = done.lock().expect("no worker panicked");
                    done.push((case.number, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no worker panicked");
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}
