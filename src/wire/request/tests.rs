use super::*;

mod chosen;
mod escaped;
mod huge;
mod keys;
mod limit;

fn faults(text: &str) -> Vec<String> {
    let request = Request::read(text.as_bytes()).expect(text);
    let faults = request.faults().iter();
    faults.map(|fault| fault.message(text.as_bytes())).collect()
}

#[test]
fn a_good_request_has_no_faults() {
    let none: [&str; 0] = [];
    assert_eq!(
        faults(r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#),
        none
    );
}

#[test]
fn missing_members_are_named() {
    assert_eq!(
        faults("{}"),
        ["`model` is required", "`messages` is required"]
    );
    assert_eq!(
        faults(r#"{"model":"m","messages":[{"content":"hi"}]}"#),
        ["`messages[0].role` is required"]
    );
}

#[test]
fn a_tool_message_answers_a_call_of_the_last_message_that_made_any() {
    let calls = |ids: &[String]| {
        let one = |id: &String| {
            format!(r#"{{"id":"{id}","type":"function","function":{{"name":"f","arguments":""}}}}"#)
        };
        let all: Vec<String> = ids.iter().map(one).collect();
        let all = all.join(",");
        format!(r#"{{"role":"assistant","tool_calls":[{all}]}}"#)
    };
    let answer = |id: &str| format!(r#"{{"role":"tool","tool_call_id":"{id}","content":"x"}}"#);
    let request = |messages: &[String]| {
        let messages = messages.join(",");
        faults(&format!(r#"{{"model":"m","messages":[{messages}]}}"#)).len()
    };
    let ids: Vec<String> = (0..900).map(|id| format!("c{id}")).collect();
    let one = ["a".to_owned()];
    let many: Vec<String> = (0..3000).map(|id| format!("c{id}")).collect();
    assert_eq!(request(&[calls(&ids), answer("c899"), answer("c0")]), 0);
    assert_eq!(request(&[calls(&ids), answer("c900")]), 1);
    assert_eq!(request(&[answer("a")]), 1);
    assert_eq!(request(&[calls(&ids), calls(&one), answer("a")]), 0);
    assert_eq!(request(&[calls(&ids), calls(&one), answer("c1")]), 1);
    // Of very many calls none is refused, and those of the next message are known again.
    assert_eq!(request(&[calls(&many), answer("c2999")]), 0);
    assert_eq!(request(&[calls(&many), calls(&one), answer("a")]), 0);
    assert_eq!(request(&[calls(&many), calls(&one), answer("b")]), 1);
}

/// All orders of a few members.
fn orders(members: &[&str]) -> Vec<String> {
    if members.is_empty() {
        return vec![String::new()];
    }
    let mut all = Vec::new();
    for first in 0..members.len() {
        let mut rest = members.to_vec();
        let first = rest.remove(first);
        for rest in orders(&rest) {
            let comma = if rest.is_empty() { "" } else { "," };
            all.push(format!("{first}{comma}{rest}"));
        }
    }
    all
}

/// What is found in a request but for the places and the order.
fn gist(text: &str) -> (Vec<String>, Counts, usize, [bool; 2]) {
    let request = Request::read(text.as_bytes()).expect(text);
    let mut faults = faults(text);
    faults.sort();
    assert_eq!(faults.len(), request.fault_count(), "{text}");
    let urls = request.image_urls();
    let urls = [urls.http.is_some(), urls.other.is_some()];
    (faults, *request.counts(), request.unknown().count(), urls)
}

#[test]
fn a_type_means_the_same_wherever_it_stands() {
    let message = |part: &str| {
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{{{part}}}]}}]}}"#)
    };
    let call = |call: &str| {
        format!(
            r#"{{"model":"m","messages":[{{"role":"assistant","tool_calls":[{{"id":"c",{call}}}]}}]}}"#
        )
    };
    let tool = |tool: &str| {
        format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"tools":[{{{tool}}}]}}"#
        )
    };
    let member = |name: &'static str| {
        move |value: &str| {
            format!(
                r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"tools":[],"{name}":{{{value}}}}}"#
            )
        }
    };
    let custom = |format: &str| {
        tool(&format!(
            r#""type":"custom","custom":{{"name":"c","format":{{{format}}}}}"#
        ))
    };
    let text = r#""text":"abc""#;
    let image = r#""image_url":{"url":"ftp:x","detail":"low","more":1}"#;
    let bad_image = r#""image_url":{"url":1,"detail":"lower"}"#;
    let web = r#""image_url":{"url":"http://x"}"#;
    let audio = r#""input_audio":{"data":"AAAA","format":"ogg"}"#;
    let file = r#""file":{"file_data":"AAAA","of":"mine"}"#;
    let mark = r#""prompt_cache_breakpoint":{"mode":"now"}"#;
    let function = r#""function":{"name":"f","arguments":"{}","x":1}"#;
    let bad_function = r#""function":{"name":"f f","parameters":[],"x":1}"#;
    type Wrap<'a> = &'a dyn Fn(&str) -> String;
    let cases: &[(Wrap<'_>, &[&str], &[&str])] = &[
        (
            &message,
            &[
                "text",
                "image_url",
                "input_audio",
                "file",
                "refusal",
                "other",
            ],
            &[text, image, r#""u":{}"#],
        ),
        (&message, &["text", "image_url"], &[text, bad_image, mark]),
        (
            &message,
            &["image_url", "file", "refusal"],
            &[web, file, mark],
        ),
        (
            &message,
            &["input_audio", "text"],
            &[audio, r#""refusal":null"#, "\"u\":1"],
        ),
        (
            &call,
            &["function", "custom", "x"],
            &[function, r#""custom":{"name":1}"#],
        ),
        (
            &tool,
            &["function", "custom"],
            &[bad_function, r#""custom":{"y":0}"#, "\"u\":1"],
        ),
        (
            &custom,
            &["text", "grammar", "other"],
            &[r#""grammar":{"syntax":"peg","z":1}"#, "\"u\":1"],
        ),
        (
            &member("tool_choice"),
            &["function", "custom", "allowed_tools"],
            &[
                r#""function":{}"#,
                r#""custom":{"name":"n"}"#,
                r#""allowed_tools":{"mode":"none"}"#,
            ],
        ),
        (
            &member("response_format"),
            &["text", "json_schema"],
            &[
                r#""json_schema":{"name":"a b","strict":1,"w":[]}"#,
                "\"u\":1",
            ],
        ),
    ];
    for (wrap, types, members) in cases {
        for kind in *types {
            let kind = format!(r#""type":"{kind}""#);
            let first = gist(&wrap(&format!("{kind},{}", members.join(","))));
            let mut all = members.to_vec();
            all.push(&kind);
            for order in orders(&all) {
                assert_eq!(gist(&wrap(&order)), first, "{order}");
            }
        }
        // Without a type nothing but that is told, in whatever order.
        let without = gist(&wrap(&members.join(",")));
        for order in orders(members) {
            assert_eq!(gist(&wrap(&order)), without, "{order}");
        }
    }
}

#[test]
fn faults_before_the_type_are_counted_beyond_those_that_are_kept() {
    let part = r#"{"image_url":{"url":1,"detail":2},"type":"image_url"}"#;
    let parts = vec![part; 40].join(",");
    let text = format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{parts}]}}]}}"#);
    let request = Request::read(text.as_bytes()).expect("readable");
    assert_eq!(
        (request.faults().len(), request.fault_count()),
        (MAX_FAULTS, 80)
    );
    let of_others = text.replace(r#""type":"image_url""#, r#""text":"x","type":"text""#);
    assert_eq!(faults(&of_others).len(), 0);
}

#[test]
fn a_key_twice_is_refused_even_where_the_type_says_that_it_does_not_count() {
    let twice = r#""image_url":{"url":"https://x","url":"https://y"}"#;
    for part in orders(&[r#""type":"text""#, r#""text":"x""#, twice]) {
        let text =
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{{{part}}}]}}]}}"#);
        let at = text.find("\"url\":\"https://y").expect("there") + 1;
        let found = Request::read(text.as_bytes()).expect_err("twice");
        assert_eq!(found, Unreadable::Duplicate(at), "{text}");
    }
}

#[test]
fn members_beyond_the_first_few_are_kept_too() {
    for count in [7, 8, 9, 255, 256, 257] {
        let members: Vec<String> = (0..count).map(|at| format!(r#""k{at}":[{at}]"#)).collect();
        let text = format!("{{{}}}", members.join(","));
        match Request::read(text.as_bytes()) {
            Ok(request) => {
                assert!(count <= MAX_MEMBERS);
                let found: Vec<&str> = request
                    .members()
                    .map(|member| &text[member.range])
                    .collect();
                assert_eq!(found, members);
            }
            Err(why) => assert!(
                count > MAX_MEMBERS && why == Unreadable::TooManyMembers,
                "{why}"
            ),
        }
    }
}

#[test]
fn the_usual_members_of_a_message_count_in_any_order_and_spacing() {
    let (role, content) = (r#""role":"user""#, r#""content":"Hi there, how are you?""#);
    let (name, unknown) = (r#""name":"n""#, r#""x":1"#);
    let read = |message: &str| {
        Request::read(format!(r#"{{"model":"m","messages":[{message}]}}"#).as_bytes())
    };
    for order in orders(&[role, content, name, unknown]) {
        for few in [order.clone(), order.replace(':', " : ").replace(',', " , ")] {
            let request = read(&format!("{{{few}}}")).expect("readable");
            assert_eq!(request.fault_count(), 0, "{few}");
            assert_eq!(
                (request.unknown().len(), request.counts().nodes),
                (1, 7),
                "{few}"
            );
        }
    }
    for (message, faults) in [
        (format!("{{{role},{content}}}"), 0),
        (format!("{{{content},{role}}}"), 0),
        (format!("{{{role}}}"), 1),
        (format!("{{{content}}}"), 1),
        (format!(r#"{{"role":"tool",{content}}}"#), 1),
        (format!(r#"{{{content},"role":"function"}}"#), 1),
        (format!(r#"{{"role":"nobody",{content}}}"#), 1),
        (format!(r#"{{{role},"content":null}}"#), 1),
        ("{}".to_owned(), 1),
    ] {
        let request = read(&message).expect("readable");
        assert_eq!(request.fault_count(), faults, "{message}");
    }
    for twice in [
        format!("{{{role},{content},{role}}}"),
        format!("{{{content},{role},{content}}}"),
        format!("{{{role},{role}}}"),
        format!("{{{content},{content}}}"),
    ] {
        assert!(
            matches!(read(&twice), Err(Unreadable::Duplicate(_))),
            "{twice}"
        );
    }
    for broken in [
        format!("{{{role},{content}"),
        format!("{{{role},{content},}}"),
        format!("{{{role}{content}}}"),
        format!("{{,{role},{content}}}"),
        format!("{{{role},,{content}}}"),
    ] {
        assert!(
            matches!(read(&broken), Err(Unreadable::Json(_))),
            "{broken}"
        );
    }
}

/// Arrays of the request and what their elements are: what stands before and behind the elements.
const ARRAYS: &[(&str, &str)] = &[
    (r#"{"model":"m","messages":["#, "]}"),
    (
        r#"{"model":"m","messages":[{"role":"user","content":["#,
        "]}]}",
    ),
    (
        r#"{"model":"m","messages":[{"role":"assistant","tool_calls":["#,
        "]}]}",
    ),
    (
        r#"{"model":"m","messages":[{"role":"user","content":"x"}],"tools":["#,
        "]}",
    ),
    (
        r#"{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"type":"custom","custom":{"name":"f"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":["#,
        "]}}}",
    ),
    (
        r#"{"model":"m","messages":[{"role":"user","content":"x"}],"stop":["#,
        "]}",
    ),
    (
        r#"{"model":"m","messages":[{"role":"user","content":"x"}],"modalities":["#,
        "]}",
    ),
];

/// Elements, most of them wrong in most arrays.
const ELEMENTS: &[&str] = &[
    "0",
    "-1.5e3",
    " 7 ",
    "\n12",
    "null",
    "true",
    r#""""#,
    r#""text""#,
    r#""a\n""#,
    "[]",
    "[[],{}]",
    "{}",
    "{ }",
    r#"{"":0}"#,
    r#"{"a":{}}"#,
    r#"{"type":"text","text":""}"#,
    r#"{"text":0,"type":"text"}"#,
    r#"{"role":"user","content":""}"#,
];

/// Faults, values and unknown members, by reading.
fn tally(open: &str, elements: &[&str], close: &str) -> [usize; 3] {
    let text = format!("{open}{}{close}", elements.join(","));
    let request =
        Request::read_within(text.as_bytes(), Bounds::default().faults(usize::MAX)).expect(&text);
    let unknown = request.unknown().len();
    [request.fault_count(), request.counts().nodes, unknown]
}

#[test]
fn many_wrong_elements_are_counted_as_one_is() {
    for (open, close) in ARRAYS {
        // Beyond so many a list of strings to stop at has a fault of its own.
        let few = ["[]"; 5];
        let before = tally(open, &few, close);
        for element in ELEMENTS {
            let one = tally(open, &[&few[..], &[element]].concat(), close);
            for count in [26, 27, 28, 29, 60, 200] {
                let all = [&few[..], &vec![*element; count]].concat();
                for (at, found) in tally(open, &all, close).into_iter().enumerate() {
                    let wanted = before[at] + count * (one[at] - before[at]);
                    assert_eq!(found, wanted, "{count} times {element} behind {open}: {at}");
                }
            }
        }
    }
}

#[test]
fn elements_are_counted_alike_whatever_stands_among_them() {
    for (open, close) in ARRAYS {
        let few = ["[]"; 5];
        let before = tally(open, &few, close);
        let one = |element: &'static str| {
            let found = tally(open, &[&few[..], &[element]].concat(), close);
            (element, [0, 1, 2].map(|at| found[at] - before[at]))
        };
        let ones: Vec<_> = ELEMENTS.iter().copied().map(one).collect();
        for (first, first_more) in &ones {
            for (second, second_more) in &ones {
                let two = [*first, *second];
                let all = [&few[..], &[ELEMENTS[0]; 30], &two, &two].concat();
                let found = tally(open, &all, close);
                let wanted = [0, 1, 2].map(|at| {
                    before[at] + 30 * ones[0].1[at] + 2 * (first_more[at] + second_more[at])
                });
                assert_eq!(found, wanted, "{two:?} behind {open}");
            }
        }
    }
}

#[test]
fn many_wrong_elements_end_where_one_does() {
    let depth = "[".repeat(130);
    for (open, close) in ARRAYS {
        for count in [0, 3, 60] {
            for (last, at) in [
                ("0,", 2),
                ("0,,0", 2),
                ("0 0", 2),
                ("[}", 1),
                ("\"", 1),
                ("\"\\x\"", 1),
                ("nul", 3),
                ("1.", 2),
                ("1e999", 0),
                ("\0", 0),
                (",\0 ", 0),
                ("0}", 1),
                (&depth, 130),
            ] {
                let before = "0,".repeat(count);
                let text = format!("{open}{before}{last}{close}");
                let start = open.len() + before.len();
                match Request::read(text.as_bytes()) {
                    Err(Unreadable::Json(fault)) if last != depth && last != "\"" => {
                        assert_eq!(fault.at - start, at, "{text}");
                    }
                    Err(Unreadable::Json(_)) => {}
                    other => panic!("{text}: {other:?}"),
                }
            }
            // However many values are allowed, no more are read.
            let text = format!("{open}{}[{{}}]{close}", "0,".repeat(count));
            let nodes = Request::read(text.as_bytes()).expect(&text).counts().nodes;
            for allowed in 0..=nodes {
                let read = Request::read_within(text.as_bytes(), Bounds::default().values(allowed));
                assert_eq!(read.is_ok(), allowed == nodes, "{allowed} of {text}");
            }
        }
    }
}

#[test]
fn what_comes_before_the_type_counts_as_what_comes_behind_it() {
    let tally = |part: &str, count: usize| {
        let parts = vec![part; count].join(",");
        let text = format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{parts}]}}]}}"#);
        let request = Request::read_within(text.as_bytes(), Bounds::default().faults(usize::MAX))
            .expect(&text);
        let shape = request
            .faults()
            .iter()
            .filter(|it| it.is_of_shape())
            .count();
        (
            [request.fault_count(), request.faults().len(), shape],
            (request.unknown().len(), request.has_more_unknown()),
            *request.counts(),
        )
    };
    let (kind, payload) = (r#""type":"image_url""#, r#""image_url":{"url":0,"x":1}"#);
    let (other, good) = (
        r#""file":{"file_data":0,"y":1}"#,
        r#""image_url":{"url":""}"#,
    );
    for count in [1, 2, 31, 32, 33, 40, 1023, 1025, 1100] {
        for members in [
            &[payload][..],
            &[good],
            &[good, other],
            &[payload, other],
            &[other, payload, r#""text":0"#],
            &[good, r#""z":1"#],
        ] {
            let behind = format!("{{{kind},{}}}", members.join(","));
            let before = format!("{{{},{kind}}}", members.join(","));
            assert_eq!(tally(&before, count), tally(&behind, count), "{before}");
        }
    }
}
