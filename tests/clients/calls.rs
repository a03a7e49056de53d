//! The demo call as people use it: four windows of one Chromium in one room, seen, heard, muted and
//! written to by each other, one of them without a picture for a while; the dashboard that shows them; and
//! what axe-core, the accessibility checker of npm, says of each page at the width of a desk and of a
//! phone.

use std::time::Duration;

use serde_json::{Value, json};

use crate::pages::{Page, Stage, figure, until};
use crate::stack;

/// Members of the call.
const NAMES: [&str; 4] = ["Ada", "Grace", "Edsger", "Barbara"];
/// Longest time until everybody sees everybody.
const SEEN_MAX: Duration = Duration::from_secs(30);
/// Widths and heights at which pages are looked at: a desk's and a phone's.
const SIZES: [(u32, u32); 2] = [(1280, 800), (390, 844)];

#[test]
fn four_members_hold_a_call() {
    let stage = Stage::start();
    let pages: Vec<Page> = NAMES.iter().map(|name| join(&stage, name)).collect();
    for page in &pages {
        until("all four see all four", SEEN_MAX, || (moving(page) == 4).then_some(()));
    }
    let figures = "return [...document.querySelectorAll('.bars[aria-label]')].length === 4 || null";
    until("the connections are judged", SEEN_MAX, || truth(&pages[0], figures));

    // Ada's microphone is on, as hers is the first window; the others' are not.
    let muted = |page: &Page| {
        let names = "return [...document.querySelectorAll('li.tile .muted:not([hidden])')]\
                     .map((sign) => sign.nextSibling.textContent.split(' ')[0]).sort()";
        page.run(names, &[]).unwrap()
    };
    until("three are muted", SEEN_MAX, || {
        (muted(&pages[1]) == json!(["Barbara", "Edsger", "Grace"])).then_some(())
    });
    let speaks = "return document.querySelector('li.tile.active .name')?.textContent === 'Ada'";
    until("Ada is the active speaker", SEEN_MAX, || truth(&pages[2], speaks));
    click(&pages[0], "#mic");
    until("all four are muted", SEEN_MAX, || {
        (muted(&pages[1]) == json!(["Ada", "Barbara", "Edsger", "Grace"])).then_some(())
    });

    chat(&pages);
    click(&pages[2], "#cam");
    let dark = "return document.querySelectorAll('li.tile.dark').length === 1";
    until("Edsger's picture ended", SEEN_MAX, || truth(&pages[0], dark));
    look(&pages[0], "demo-call");
    click(&pages[2], "#cam");
    until("Edsger's picture is back", SEEN_MAX, || (moving(&pages[0]) == 4).then_some(()));

    dashboard(&stage);

    click(&pages[3], "#leave");
    look(&pages[3], "demo-left");
    let three = "return document.querySelectorAll('li.tile').length === 3";
    until("Barbara is gone", SEEN_MAX, || truth(&pages[0], three));
}

/// A message reaches everybody, as text whatever it looks like, and is counted until it is read.
fn chat(pages: &[Page]) {
    let say = "document.querySelector('#message').value = args[0];\
               document.querySelector('#chat-form').requestSubmit();";
    let text = "<b>Shall we begin?</b>";
    pages[1].run(say, &[json!(text)]).unwrap();
    let got = "return [...document.querySelectorAll('.message')].some((line) =>\
               line.querySelector('span').textContent === args[0]\
               && line.querySelector('b').textContent === 'Grace')";
    for page in [&pages[0], &pages[2], &pages[3]] {
        until("the message arrives", SEEN_MAX, || {
            (page.run(got, &[json!(text)]).unwrap() == true).then_some(())
        });
    }
    let unread = "return document.querySelector('#unread').textContent === '1'";
    assert!(truth(&pages[0], unread).is_some());
    click(&pages[3], "#chat-open");
    look(&pages[3], "demo-chat");
}

/// The dashboard shows the call's four sessions with what they carry, and one of them with what it
/// watches, which layer of it, and what stands out.
fn dashboard(stage: &Stage) {
    let page = stage.page("/dashboard");
    let carried = "const rows = [...document.querySelectorAll('#sessions tbody tr')];\
                   return rows.length === 4 && rows.every(({ cells }) =>\
                     parseFloat(cells[2].textContent) > 0 && parseFloat(cells[3].textContent) > 0\
                     && cells[0].textContent.includes('camera-') && cells[1].textContent !== '');";
    until("four sessions carry something", SEEN_MAX, || truth(&page, carried));
    look(&page, "dashboard");
    click(&page, "#sessions tbody a");
    let watched = "const rows = [...document.querySelectorAll('#watched tbody tr')];\
                   const videos = rows.filter(({ cells }) => cells[1].textContent === 'video');\
                   return !document.querySelector('#session').hidden && videos.length === 3\
                     && videos.every(({ cells }) => /^[hq]$/.test(cells[2].textContent)\
                       && parseFloat(cells[3].textContent) > 0)\
                     && document.querySelectorAll('#findings li').length > 0\
                     && document.querySelector('#session-plots polyline')\
                       .getAttribute('points').split(' ').length > 1";
    until("a session shows what it watches", SEEN_MAX, || truth(&page, watched));
    look(&page, "dashboard-session");
}

/// Opens the page and joins with a small picture.
fn join(stage: &Stage, name: &str) -> Page {
    let page = stage.page("/demo#four");
    if name == NAMES[0] {
        page.run("document.querySelector('details').open = true", &[]).unwrap();
        look(&page, "demo-lobby");
    }
    let choose = "const size = document.querySelector('#size'); size.value = 'low';\
                  size.dispatchEvent(new Event('change'));\
                  document.querySelector('#name').value = args[0];";
    page.run(choose, &[json!(name)]).unwrap();
    // The devices open one after the other, the microphone only in the first window.
    let microphone = if name == NAMES[0] { "false" } else { "true" };
    let ready = format!(
        "return document.querySelector('#preview').videoWidth === 640\
         && document.querySelector('#lobby-mic').getAttribute('aria-pressed') === '{microphone}'"
    );
    until("a look at oneself", SEEN_MAX, || truth(&page, &ready));
    let started = std::time::Instant::now();
    click(&page, "#join");
    until("the call is live", SEEN_MAX, || {
        truth(&page, "return document.body.dataset.state === 'live'")
    });
    figure("demo: from the click to a live call, ms", started.elapsed().as_millis());
    page
}

/// How many tiles of the page show a picture that moves.
fn moving(page: &Page) -> usize {
    let script = "return Object.fromEntries([...document.querySelectorAll('li.tile')].map((tile) => {\
                    const video = tile.querySelector('video');\
                    const shows = video.videoWidth > 0 && !tile.classList.contains('dark');\
                    const { totalVideoFrames } = video.getVideoPlaybackQuality();\
                    return [tile.dataset.key, shows ? totalVideoFrames : 0];\
                  }));";
    let before = page.run(script, &[]).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let after = page.run(script, &[]).unwrap();
    let grew = |(key, frames): (&String, &Value)| frames.as_u64() > before[key].as_u64();
    after.as_object().unwrap().iter().filter(|tile| grew(*tile)).count()
}

/// Has a page checked at both widths, with a picture of each.
fn look(page: &Page, name: &str) {
    let file = stack::folder().join("node_modules/axe-core/axe.min.js");
    let axe = std::fs::read_to_string(&file).unwrap_or_else(|error| {
        panic!("{}: {error}; `cargo xtask test` installs it", file.display())
    });
    let check = "const { violations } = await axe.run(document, { resultTypes: ['violations'] });\
                 return violations.filter(({ impact }) => ['serious', 'critical'].includes(impact))\
                   .map(({ id, nodes }) => [id, ...nodes.map(({ target }) => target.join(' '))]);";
    for (width, height) in SIZES {
        page.resize(width, height);
        let found = page.run(&format!("{axe}\n{check}"), &[]).unwrap();
        assert_eq!(found, json!([]), "{name} at {width} pixels");
        let fits = "return document.documentElement.scrollWidth <= innerWidth";
        assert!(truth(page, fits).is_some(), "{name} is wider than {width} pixels");
        page.screenshot(&format!("{name}-{width}"));
    }
    let (width, height) = SIZES[0];
    page.resize(width, height);
}

/// Whether a script returns true.
fn truth(page: &Page, script: &str) -> Option<()> {
    (page.run(script, &[]).unwrap() == true).then_some(())
}

fn click(page: &Page, selector: &str) {
    page.run("document.querySelector(args[0]).click()", &[json!(selector)]).unwrap();
}
