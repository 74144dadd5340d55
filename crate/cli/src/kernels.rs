//! The speed of every kernel on this machine.

use std::io::{Write, stdout};
use std::time::Instant;

use hearth_engine::cpu::measure;

use crate::Result;

/// Milliseconds for each of five runs of a kernel.
const BUDGET_MS: f64 = 20.0;

/// Milliseconds since the first call.
pub fn now() -> f64 {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    START.elapsed().as_secs_f64() * 1e3
}

/// Prints a line for each format, kernel and number of tokens at a time.
pub fn kernels(json: bool) -> Result<()> {
    let speeds = measure::kernels(now, BUDGET_MS);
    if json {
        writeln!(stdout(), "{}", serde_json::to_string(&speeds)?)?;
        return Ok(());
    }
    writeln!(stdout(), "format  kernel     tokens  GMAC/s    GB/s")?;
    for speed in speeds {
        let measure::Speed { format, kernel, tokens, gmacs, gigabytes } = speed;
        writeln!(stdout(), "{format:<7} {kernel:<10} {tokens:>6} {gmacs:>7.1} {gigabytes:>7.1}")?;
    }
    Ok(())
}
