//! `rediss://`, with an authority of its own, as redis-cli takes it.

use super::{append_views, on_redis, serve, wait_for_answer, wait_until_said};
use tests::{RedisServer, wait::LONG};

#[test]
fn boards_go_and_come_over_tls_and_only_to_whom_is_trusted() {
    let (server, url, authority) = RedisServer::with_tls();
    let mut setup = on_redis("tls", &server);
    setup.set("sink.redis.url", url.as_str());
    setup.set("sink.redis.cacert", tests::setup::text(&authority));
    append_views(&setup, "v1", 0..10);
    setup.run_until_end();
    let (reader, address) = serve(&setup);
    let list = wait_for_answer(&format!("{address}/v1/top?window=all_time"), "is answered", |it| it.status == 200);
    assert_eq!((&list.json["meta"]["source"], &list.json["meta"]["total_views"]), (&"redis".into(), &10.into()));
    super::end(reader);

    // By a name that the certificate has too; and an authority that did not sign it.
    setup.set("sink.redis.url", url.replace("127.0.0.1", "localhost"));
    setup.run_until_end();
    setup.set("sink.redis.cacert", tests::setup::text(&server.path("other.crt")));
    let job = setup.start(&["run"]);
    wait_until_said(&job, "starting without this sink");
    let said = job.stderr();
    let line = said.lines().find(|line| line.contains("starting without this sink")).expect("it was said");
    assert!(line.contains("sink.redis.cacert") && line.to_lowercase().contains("certificate"), "{line}");
    drop(job);

    // Settings that cannot be are told at once.
    setup.set("sink.redis.cacert", tests::setup::text(&server.path("nowhere.crt")));
    let refused = setup.start(&["run"]).wait(LONG).expect_code(2);
    assert!(refused.stderr.contains("nowhere.crt"), "{}", refused.stderr);
    setup.set("sink.redis.url", server.url());
    let refused = setup.start(&["run"]).wait(LONG).expect_code(2);
    assert!(refused.stderr.contains("rediss://"), "{}", refused.stderr);
    setup.set("sink.redis.cacert", "");
    setup.assert_right();
}
