//! What a process has used so far, from the kernel's books (`proc(5)`).

use std::io;
use std::time::Duration;

/// `proc(5)`: times in `stat` are in units of `USER_HZ`, 100 on Linux.
const USER_HZ: u64 = 100;
/// `proc(5)`: `statm` counts pages; 4 KiB on the machines this is made for.
const PAGE_KIB: u64 = 4;

/// A process's consumption up to now.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Usage {
    /// Time its threads ran, by the scheduler's clock.
    pub(crate) run: Duration,
    /// Of that in user mode, by tick sampling.
    pub(crate) user: Duration,
    /// In the kernel, by tick sampling.
    pub(crate) system: Duration,
    /// Resident memory in KiB.
    pub(crate) resident_kib: u64,
}

impl Usage {
    /// Reads the books of process `pid`.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let mut run = 0;
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread that ended since the directory was read is no error.
            let text = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            run += number(text.split_whitespace().next());
        }
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name may hold blanks; the fields behind its closing bracket begin with number 3.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks = |field: usize| {
            Duration::from_millis(number(fields.get(field - 3).copied()) * 1000 / USER_HZ)
        };
        let pages = std::fs::read_to_string(format!("/proc/{pid}/statm"))?;
        Ok(Self {
            run: Duration::from_nanos(run),
            user: ticks(14),
            system: ticks(15),
            resident_kib: number(pages.split_whitespace().nth(1)) * PAGE_KIB,
        })
    }

    /// What was used since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            run: self.run.saturating_sub(earlier.run),
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
            resident_kib: self.resident_kib,
        }
    }
}

/// Datagrams this network namespace threw away because a receive buffer was full (`RcvbufErrors`).
pub(crate) fn receive_buffer_errors() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/net/snmp")?;
    let mut lines = text.lines().filter(|line| line.starts_with("Udp:"));
    let (names, values) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let place = names.split_whitespace().position(|name| name == "RcvbufErrors");
    Ok(number(place.and_then(|place| values.split_whitespace().nth(place))))
}

fn number(text: Option<&str>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_busy_process_is_seen_to_be_busy() {
        let before = Usage::of(std::process::id()).unwrap();
        let end = std::time::Instant::now() + Duration::from_millis(300);
        while std::time::Instant::now() < end {
            std::hint::spin_loop();
        }
        let used = Usage::of(std::process::id()).unwrap().since(&before);
        assert!(used.run > Duration::from_millis(50), "{used:?}");
        assert!(used.resident_kib > 100);
    }
}
