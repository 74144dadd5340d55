//! How near our numbers are to those of the reference implementations: the test `parity`, and what it needs.

use crate::process::{self, Result, command};
use crate::{models, tools, vocabularies};

pub fn run() -> Result<()> {
    tools::vulkan()?;
    for id in models::ids()? {
        models::prepare(&id)?;
    }
    vocabularies::prepare()?;
    process::run(command("cargo").args(["test", "--package", "tests", "--test", "parity", "--", "--nocapture"]))
}
