//! `topk config show|check`.

use crate::assemble::Assembly;
use crate::cli::ConfigVerb;
use crate::settings::Settings;
use std::process::ExitCode;
use stream::Fault;

pub(super) fn config(what: &ConfigVerb) -> Result<ExitCode, Fault> {
    match what {
        ConfigVerb::Show { origin, settings } => {
            let loaded = super::loaded(settings)?;
            loaded.check().map_err(|errors| Fault::usage("the configuration is wrong", errors, ""))?;
            super::say(loaded.show(*origin))?;
        }
        ConfigVerb::Check { settings } => {
            let assembly = Assembly::new(Settings::read(&super::loaded(settings)?)?);
            let wrong: Vec<String> = assembly.refusals().iter().map(Fault::to_string).collect();
            if !wrong.is_empty() {
                return Err(Fault::usage("the configuration is wrong", wrong.join("\n"), ""));
            }
            super::say("the configuration is right\n")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
