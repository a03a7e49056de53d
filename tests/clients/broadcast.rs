//! A stream from encoders (GStreamer, then FFmpeg) by WHIP to a page in Chromium: by WHEP with either
//! side's offer, and by the normal API.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::driver::Driver;
use crate::pages::{Browser, until};
use crate::server::Server;
use crate::stack::{self, Program, Site, Stack, Window};
use crate::watching::{Watching, strings};

/// Numbers in the encoders' marks.
const GSTREAMER: u64 = 21;
const FFMPEG: u64 = 22;

#[test]
fn encoders_broadcast_to_players_and_clients_of_the_api() {
    let server = Server::start();
    let site = Site::start(&server);
    let browser: Rc<dyn Browser> = Rc::new(Driver::start());
    let window = Window::open(&browser, &site, &stack::direct(&server));
    let call = |name: &str, arguments: &[Value]| window.call(name, arguments).unwrap();
    let stream = json!("show");
    let publish = call("token", &[stream.clone(), json!("publish")]);
    let play = call("token", &[stream.clone(), json!("play")]);

    let gstreamer = Program::start(stack::python().into(), "gstreamer_whip.py", &server);
    let broadcast = |program: &Program, sender: u64| {
        program.call("broadcast", &[stream.clone(), publish.clone(), json!(sender)]).unwrap();
    };
    broadcast(&gstreamer, GSTREAMER);
    let offering = strings(&call("play", &[stream.clone(), play.clone()]));
    let answering = strings(&call("playOffered", &[stream.clone(), play]));
    let seen = call("stream", std::slice::from_ref(&stream));
    let pulled = strings(&call("watch", &[locators(&seen)]));
    for mids in [&offering, &answering, &pulled] {
        assert_eq!(mids.len(), 2, "sound and picture: {mids:?}");
    }
    let mut watching = Watching::default();
    for mids in [&offering, &answering, &pulled] {
        watching.expect(mids, Some(GSTREAMER));
    }
    watching.check(&window).unwrap();
    // What the restarted connection brings is looked at below.
    call("restart", &[]);

    // Another encoder and codec takes over: who offered every codec goes on watching.
    let ffmpeg = Program::start(stack::aiortc(), "ffmpeg_whip.py", &server);
    broadcast(&ffmpeg, FFMPEG);
    watching.expect(&offering, Some(FFMPEG));
    watching.expect(&answering, None);
    watching.expect(&pulled, None);
    watching.check(&window).unwrap();
    until("the end of the other player", Duration::from_secs(10), || {
        (call("states", &[])[1] != "connected").then_some(())
    });
    let seen = call("stream", std::slice::from_ref(&stream));
    assert_eq!((&seen["live"], &seen["viewers"]), (&json!(true), &json!(1)), "{seen}");
    ffmpeg.call("end", &[]).unwrap();
    let seen = call("stream", &[stream]);
    assert_eq!((&seen["live"], &seen["viewers"]), (&json!(false), &json!(1)), "{seen}");
}

/// The tracks of a stream as a pull names them.
fn locators(stream: &Value) -> Value {
    let tracks = stream["tracks"].as_array().unwrap().iter();
    let named = |track: &Value| json!({ "sessionId": stream["sessionId"], "trackName": track["trackName"] });
    tracks.map(named).collect()
}
