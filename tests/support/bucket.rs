//! A bucket of one test's own, on the S3 server of all tests, behind a server that can answer badly.

use crate::Setup;
use crate::bad_answers::BadAnswers;
use crate::services;

/// See [`Bucket::state_of`].
#[derive(Debug)]
pub struct Bucket {
    name: String,
    /// What the job talks to.
    pub answers: BadAnswers,
}

/// Where in the bucket the state is.
const PREFIX: &str = "some/where";

impl Bucket {
    /// A new one, empty.
    ///
    /// # Panics
    /// The server does not make it.
    pub fn new(test: &str) -> Self {
        let server = services::s3();
        let name = services::unique(test).replace('_', "-");
        ureq::put(format!("{server}/{name}")).send_empty().expect("the S3 server makes a bucket");
        let address = server.trim_start_matches("http://").parse().expect("the S3 server has an address");
        Bucket { name, answers: BadAnswers::before(address) }
    }

    /// `s3://bucket/prefix`.
    pub fn url(&self) -> String {
        format!("s3://{}/{PREFIX}", self.name)
    }

    /// The same job with its state in here.
    #[must_use]
    pub fn state_of(&self, setup: Setup) -> Setup {
        setup
            .with("job.state", self.url())
            .in_environment("AWS_ENDPOINT_URL", &self.answers.url())
            .in_environment("AWS_ACCESS_KEY_ID", "topk")
            .in_environment("AWS_SECRET_ACCESS_KEY", "topk")
            .in_environment("AWS_REGION", "us-east-1")
            // A job that is left without an answer is to ask again soon.
            .in_environment("AWS_TIMEOUT", "2s")
    }

    /// Everything in it, by name, past the server that answers badly.
    ///
    /// # Panics
    /// The server does not list it.
    pub fn objects(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let after = names.last().cloned().unwrap_or_default();
            let url = format!("{}/{}", services::s3(), self.name);
            let answer = ureq::get(url).query("list-type", "2").query("start-after", &after).call();
            let listing = answer.and_then(|mut answer| answer.body_mut().read_to_string()).expect("a listing");
            let keys = listing.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
            let before = names.len();
            names.extend(keys.map(str::to_owned));
            if names.len() == before {
                return names;
            }
        }
    }

    /// The records of a job's journal, by number, in order.
    pub fn records(&self, job: &str) -> Vec<u64> {
        let folder = format!("{PREFIX}/journal/{job}/commit/");
        self.objects().iter().filter_map(|name| name.strip_prefix(&folder)?.parse().ok()).collect()
    }
}
