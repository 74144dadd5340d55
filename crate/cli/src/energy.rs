//! What the machine took: joules where the system counts them, and processor time.
//!
//! Linux counts energy in `/sys/class/powercap/intel-rapl:N/energy_uj` (since 2020 for root only), on AMD's processors, too: of a
//! whole package, with all that runs on it. So what it takes while idle is measured first and taken off. A counter starts again
//! behind `max_energy_range_uj`. Where there is none, nothing is said: time times a chip's rated power would be a guess.
//! <https://docs.kernel.org/power/powercap/powercap.html>

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Where Linux counts.
const POWERCAP: &str = "/sys/class/powercap";

/// How long idling is watched.
const IDLE: Duration = Duration::from_secs(2);

/// Counters of energy.
pub struct Counters {
    packages: Vec<Package>,
    /// What the packages take while nothing of ours runs.
    idle_watts: f64,
}

struct Package {
    folder: PathBuf,
    name: String,
    /// Microjoules after which it starts again.
    range: u64,
}

/// Counters and clock as they stood.
pub struct Mark {
    counts: Vec<u64>,
    start: Instant,
}

/// Joules, and whose.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Energy {
    /// Of the packages, idling taken off.
    pub joules: f64,
    /// What idling takes.
    pub idle_watts: f64,
    /// Who counted.
    pub source: String,
}

impl Counters {
    /// The system's, if it has any that may be read. Waits to see what idling takes.
    pub fn open() -> Option<Counters> {
        let mut counters = Counters::at(Path::new(POWERCAP))?;
        let mark = counters.mark()?;
        sleep(IDLE);
        counters.idle_watts = counters.since(&mark)?.joules / mark.start.elapsed().as_secs_f64();
        Some(counters)
    }

    fn at(root: &Path) -> Option<Counters> {
        // A package is intel-rapl:0; parts of it, intel-rapl:0:0, are in its count already.
        let whole = |name: &str| name.strip_prefix("intel-rapl:").is_some_and(|n| n.parse::<u32>().is_ok());
        let entries = fs::read_dir(root).ok()?.flatten();
        let mut packages: Vec<Package> = entries
            .filter(|entry| whole(&entry.file_name().to_string_lossy()))
            .filter_map(|entry| {
                let folder = entry.path();
                let name = fs::read_to_string(folder.join("name")).ok()?.trim().to_owned();
                Some(Package { name, range: count(&folder.join("max_energy_range_uj"))?, folder })
            })
            .filter(|package| package.name.starts_with("package"))
            .collect();
        packages.sort_by(|a, b| a.folder.cmp(&b.folder));
        (!packages.is_empty()).then_some(Counters { packages, idle_watts: 0.0 })
    }

    /// The counters now, if all can be read.
    pub fn mark(&self) -> Option<Mark> {
        Some(Mark { counts: self.counts()?, start: Instant::now() })
    }

    fn counts(&self) -> Option<Vec<u64>> {
        self.packages.iter().map(|package| count(&package.folder.join("energy_uj"))).collect()
    }

    /// What was taken since then.
    pub fn since(&self, mark: &Mark) -> Option<Energy> {
        let now = self.counts()?;
        let taken =
            self.packages.iter().zip(now.iter().zip(&mark.counts)).map(|(package, (now, then))| match now < then {
                true => now + package.range - then,
                false => now - then,
            });
        let joules = taken.sum::<u64>() as f64 / 1e6 - self.idle_watts * mark.start.elapsed().as_secs_f64();
        let names: Vec<&str> = self.packages.iter().map(|package| package.name.as_str()).collect();
        let source = format!("Linux powercap ({}), idling taken off", names.join(", "));
        Some(Energy { joules: joules.max(0.0), idle_watts: self.idle_watts, source })
    }
}

fn count(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Milliseconds that processors have worked for this process, if the system tells: Linux does, to a hundredth of a second.
pub fn processor_ms() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name, which may have spaces: user and system time are the 12th and 13th, in ticks of 10 ms (USER_HZ).
    let mut numbers = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || numbers.next()?.parse::<f64>().ok();
    Some(10.0 * (ticks()? + ticks()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder as Linux has it.
    fn powercap(name: &str, energies: &[(&str, &str, u64)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("hearth-{name}-{}", std::process::id()));
        for (folder, name, energy) in energies {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("name"), format!("{name}\n")).unwrap();
            fs::write(folder.join("energy_uj"), format!("{energy}\n")).unwrap();
            fs::write(folder.join("max_energy_range_uj"), "1000000000\n").unwrap();
        }
        root
    }

    #[test]
    fn packages_are_counted_once_and_over_the_end() {
        let before = [
            ("intel-rapl:0", "package-0", 999_000_000),
            ("intel-rapl:0:0", "core", 5_000_000),
            ("intel-rapl:1", "package-1", 1_000_000),
            ("intel-rapl:2", "psys", 7_000_000),
        ];
        let root = powercap("energy", &before);
        let mut counters = Counters::at(&root).unwrap();
        let mark = counters.mark().unwrap();
        powercap("energy", &[("intel-rapl:0", "package-0", 2_000_000), ("intel-rapl:1", "package-1", 3_500_000)]);
        powercap("energy", &[("intel-rapl:0:0", "core", 900_000_000), ("intel-rapl:2", "psys", 900_000_000)]);
        let energy = counters.since(&mark).unwrap();
        assert_eq!((energy.joules * 10.0).round(), 55.0, "3 J over the end of one counter, 2.5 J of the other");
        assert!(energy.source.contains("package-0, package-1"), "{}", energy.source);
        counters.idle_watts = 1e9;
        assert_eq!(counters.since(&mark).unwrap().joules, 0.0);
        fs::remove_dir_all(&root).unwrap();
        assert!(counters.since(&mark).is_none() && Counters::at(&root).is_none(), "nothing is invented");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn work_takes_processor_time() {
        let start = processor_ms().unwrap();
        let begin = Instant::now();
        let mut x = 1.0_f64;
        while processor_ms().unwrap() <= start {
            (0..100_000).for_each(|_| x = std::hint::black_box(x).sqrt());
            assert!(begin.elapsed() < Duration::from_secs(60));
        }
    }
}
