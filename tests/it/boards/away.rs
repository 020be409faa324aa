//! A store that does not answer, or is not there: counting and tables go on, and afterwards every window that had a view
//! has its board.

use super::{append_views, end, on_redis, serve, wait_for_answer, wait_for_board, wait_for_table, wait_until_said};
use tests::RedisServer;

#[test]
fn a_frozen_store_stops_nothing_else() {
    let server = RedisServer::start();
    let setup = on_redis("frozen", &server);
    append_views(&setup, "v1", 0..10);
    let job = setup.start(&["run"]);
    wait_for_board(&setup, 10);
    wait_for_table(&setup, 10);
    let (reader, url) = serve(&setup);
    let list = format!("{url}/v1/top?window=all_time");
    assert_eq!(wait_for_answer(&list, "is answered", |it| it.status == 200).json["meta"]["source"], "redis");
    server.freeze();
    append_views(&setup, "v2", 10..130);
    wait_for_table(&setup, 130);
    let answer = wait_for_answer(&list, "comes from the tables", |it| it.json["meta"]["total_views"] == 130);
    assert_eq!((&answer.json["meta"]["source"], answer.age), (&"sqlite".into(), None));
    assert_eq!(wait_for_answer(&format!("{url}/readyz"), "is answered", |_| true).status, 200);
    wait_until_said(&job, "follower is away");
    server.thaw();
    wait_for_board(&setup, 130);
    wait_until_said(&job, "follower is back");
    wait_for_answer(&list, "comes from the boards again", |it| it.json["meta"]["source"] == "redis");
    end(reader);
    end(job);
    setup.assert_right();
}

/// Ten hours of event time pass: their minutes are final and have left memory when the store comes back, empty.
#[test]
fn a_store_that_was_away_gets_the_board_of_every_window_it_missed() {
    let mut server = RedisServer::start();
    let setup = on_redis("away", &server);
    append_views(&setup, "v1", 0..1);
    let job = setup.start(&["run"]);
    wait_for_board(&setup, 1);
    server.save();
    server.kill();
    for hour in 0..5 {
        append_views(&setup, &format!("v{hour}"), hour * 120 + 1..hour * 120 + 121);
        wait_for_table(&setup, u64::from(hour + 1) * 120 + 1);
    }
    wait_until_said(&job, "follower is away");
    server.start_again();
    wait_for_board(&setup, 601);
    end(job);
    setup.assert_right();
}
