//! `topk config show|check`.

use crate::cli::ConfigVerb;
use crate::settings::Settings;
use std::process::ExitCode;
use stream::Fault;

pub(super) fn config(what: &ConfigVerb) -> Result<ExitCode, Fault> {
    match what {
        ConfigVerb::Show { origin, settings } => {
            let loaded = super::loaded(settings)?;
            loaded.check().map_err(|errors| Fault::usage("the configuration is wrong", errors, ""))?;
            print!("{}", loaded.show(*origin));
        }
        ConfigVerb::Check { settings } => {
            Settings::read(&super::loaded(settings)?)?;
            println!("the configuration is right");
        }
    }
    Ok(ExitCode::SUCCESS)
}
