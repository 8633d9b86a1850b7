//! Batches, from a file of requests to a file of answers.

use serde_json::{Value, json};

use crate::harness::Call;
use crate::{World, form, others};

const CHAT: &str = r#"{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"gemini-2.5-flash","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}],"max_tokens":9}}"#;
const OTHER: &str = r#"{"custom_id":"b","method":"POST","url":"/v1/chat/completions","body":{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Ho"}],"parallel_tool_calls":false}}"#;

fn create(world: &mut World, body: Value) -> Value {
    world.ask(&Call::post("/v1/batches", body.to_string()), 200)
}

/// Lines of JSON.
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn answer(text: &str) -> Value {
    json!({
        "candidates": [{ "content": { "role": "model", "parts": [{ "text": text }] }, "finishReason": "STOP", "index": 0 }],
        "usageMetadata": { "promptTokenCount": 3, "candidatesTokenCount": 1, "totalTokenCount": 4 },
        "modelVersion": "gemini-2.5-flash",
    })
}

#[test]
fn a_batch_of_chats_comes_to_its_answers() {
    let mut world = World::new();
    let file = world.upload("batch", "in.jsonl", &format!("\u{feff}{CHAT}\n\n{OTHER}\r\n"));
    assert_eq!((file["purpose"].as_str(), file["filename"].as_str()), (Some("batch"), Some("in.jsonl")));
    let (_, shown) = &world.google.objects["files/f1"];
    assert_eq!(shown["displayName"], "batch/chat/gemini-2.5-flash/in.jsonl");
    assert_eq!(shown["mimeType"], "application/jsonl");
    let uploaded = lines(std::str::from_utf8(&world.google.contents["files/f1"]).expect("UTF-8"));
    assert_eq!(uploaded[0]["key"], "a");
    assert_eq!(uploaded[0]["request"]["systemInstruction"]["parts"][0]["text"], "Be brief.");
    assert_eq!(uploaded[0]["request"]["generationConfig"]["maxOutputTokens"], 9);
    assert_eq!(uploaded[1]["key"], "b#libra:one");

    let mut world = world.restarted();
    let made = create(
        &mut world,
        json!({ "input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h",
            "metadata": { "customer": "7" } }),
    );
    let id = made["id"].as_str().expect("an id").to_owned();
    assert_eq!(made["status"], "validating");
    let name = world.google.only("batches/");
    world.google.end(
        &name,
        1,
        &format!(
            "{}\n{}\n",
            json!({ "key": "b#libra:one", "response": answer("Ho!") }),
            json!({ "key": "a", "error": { "code": 3, "message": "The image is broken." } }),
        ),
    );

    let mut world = world.restarted();
    let ended = world.get(&format!("/v1/batches/{id}"));
    let (output, errors) = (format!("file-batch-{}", &id[6..]), format!("file-batch-{}_errors", &id[6..]));
    for (field, expected) in [
        ("status", json!("completed")),
        ("endpoint", json!("/v1/chat/completions")),
        ("input_file_id", file["id"].clone()),
        ("metadata", json!({ "customer": "7" })),
        ("request_counts", json!({ "total": 2, "completed": 1, "failed": 1 })),
        ("output_file_id", json!(output)),
        ("error_file_id", json!(errors)),
        ("completed_at", json!(1_787_151_600)),
        ("model", json!("gemini-2.5-flash")),
    ] {
        assert_eq!(ended[field], expected, "{field} of {ended}");
    }

    // Each by a gateway that has not seen the batch.
    let mut world = world.restarted();
    let seen = world.send(&Call::get(&format!("/v1/files/{output}/content")));
    let answers = lines(seen.text());
    assert_eq!((seen.status, answers.len()), (200, 1), "{}", seen.text());
    assert_eq!(
        (&answers[0]["custom_id"], &answers[0]["response"]["status_code"]),
        (&json!("b"), &json!(200))
    );
    let body = &answers[0]["response"]["body"];
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["choices"][0]["message"]["content"], "Ho!");
    assert_eq!(body["model"], "gemini-2.5-flash");
    let mut world = world.restarted();
    let seen = world.send(&Call::get(&format!("/v1/files/{errors}/content")));
    let failures = lines(seen.text());
    assert_eq!((failures.len(), &failures[0]["custom_id"]), (1, &json!("a")));
    assert_eq!(failures[0]["response"]["status_code"], 400);
    assert_eq!(failures[0]["response"]["body"]["error"]["message"], "The image is broken.");
    assert_eq!(world.get(&format!("/v1/files/{output}"))["purpose"], "batch_output");
    let (message, _) = world.refused(&crate::delete(&format!("/v1/files/{output}")), 400);
    assert!(message.contains("cannot be deleted"), "{message}");
}

#[test]
fn a_batch_of_nothing_but_failures_is_fetched_too() {
    let mut world = World::new();
    let file = world.upload("batch", "in.jsonl", CHAT);
    let body = json!({ "input_file_id": file["id"], "endpoint": "/v1/chat/completions" });
    let id = create(&mut world, body)["id"].clone();
    let name = world.google.only("batches/");
    let failure = json!({ "key": "a", "error": { "code": 8, "message": "No quota." } });
    world.google.end(&name, 1, &format!("{failure}\n"));
    let errors = world.get(&format!("/v1/batches/{}", id.as_str().expect("an id")))["error_file_id"].clone();
    let content = format!("/v1/files/{}/content", errors.as_str().expect("a file"));
    let seen = world.send(&Call::get(&content));
    assert_eq!(seen.status, 200, "{}", seen.text());
    assert_eq!(lines(seen.text())[0]["response"]["status_code"], 429);
    let seen = world.send(&Call::get(&content.replace("_errors", "")));
    assert_eq!((seen.status, seen.text()), (200, ""));
    assert_eq!(world.harness.gateway.pool_size(), (8, 8), "no key is blamed");
}

#[test]
fn responses_come_back_as_responses() {
    let mut world = World::new();
    let line = |id: &str, more: Value| {
        let mut body = json!({ "model": "gemini-2.5-flash", "input": "Hi" });
        body.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        json!({ "custom_id": id, "method": "POST", "url": "/v1/responses", "body": body }).to_string()
    };
    let input = format!(
        "{}\n{}",
        line("a", json!({})),
        line("b", json!({ "include": ["reasoning.encrypted_content"] }))
    );
    let file = world.upload("batch", "in.jsonl", &input);
    let keys: Vec<Value> = lines(std::str::from_utf8(&world.google.contents["files/f1"]).expect("UTF-8"))
        .iter()
        .map(|line| line["key"].clone())
        .collect();
    assert_eq!(keys, ["a#libra:response", "b#libra:response,sealed"]);
    let made = create(&mut world, json!({ "input_file_id": file["id"], "endpoint": "/v1/responses" }));
    let name = world.google.only("batches/");
    world.google.end(&name, 0, &json!({ "key": keys[0], "response": answer("Hello") }).to_string());
    let ended = world.get(&format!("/v1/batches/{}", made["id"].as_str().expect("an id")));
    let seen = world.send(&Call::get(&format!(
        "/v1/files/{}/content",
        ended["output_file_id"].as_str().expect("a file")
    )));
    let body = &lines(seen.text())[0]["response"]["body"];
    assert_eq!((body["object"].as_str(), body["status"].as_str()), (Some("response"), Some("completed")));
    assert_eq!(body["output"][0]["content"][0]["text"], "Hello");
    assert_eq!(body["store"], false);
}

#[test]
fn embeddings_of_several_texts_are_one_answer_again() {
    let mut world = World::new();
    let line = |id: &str, input: Value, format: &str| {
        json!({ "custom_id": id, "method": "POST", "url": "/v1/embeddings", "body":
            { "model": "gemini-embedding-001", "input": input, "encoding_format": format, "dimensions": 2 } })
        .to_string()
    };
    let input = format!("{}\n{}", line("one", json!("a"), "base64"), line("two", json!(["b", "c"]), "float"));
    let file = world.upload("batch", "in.jsonl", &input);
    let uploaded = lines(std::str::from_utf8(&world.google.contents["files/f1"]).expect("UTF-8"));
    let keys: Vec<&str> = uploaded.iter().map(|line| line["key"].as_str().expect("a key")).collect();
    assert_eq!(keys, ["one#libra:base64", "two#libra:0/2", "two#libra:1/2"]);
    assert_eq!(uploaded[1]["request"]["content"]["parts"][0]["text"], "b");
    assert_eq!(uploaded[1]["request"]["outputDimensionality"], 2);
    let made = create(&mut world, json!({ "input_file_id": file["id"], "endpoint": "/v1/embeddings" }));
    assert!(
        world.google.seen.last().expect("a call").1.ends_with("gemini-embedding-001:asyncBatchEmbedContent")
    );
    let name = world.google.only("batches/");
    let vector = |key: &str, values: [f32; 2]| {
        json!({ "key": key, "response": { "embedding": { "values": values }, "tokenCount": "2" } })
            .to_string()
    };
    let output =
        [vector(keys[2], [0.0, 1.0]), vector(keys[0], [1.0, 0.0]), vector(keys[1], [3.0, 4.0])].join("\n");
    world.google.end(&name, 0, &output);
    let ended = world.get(&format!("/v1/batches/{}", made["id"].as_str().expect("an id")));
    let content = format!("/v1/files/{}/content", ended["output_file_id"].as_str().expect("a file"));
    let seen = world.send(&Call::get(&content));
    let answers = lines(seen.text());
    assert_eq!(answers.len(), 2, "{}", seen.text());
    assert_eq!(answers[0]["custom_id"], "one");
    assert_eq!(answers[0]["response"]["body"]["data"][0]["embedding"], "AACAPwAAAAA=");
    let body = &answers[1]["response"]["body"];
    assert_eq!(body["data"][0]["embedding"], json!([0.6, 0.8]));
    assert_eq!(body["data"][1]["embedding"], json!([0.0, 1.0]));
    assert_eq!(body["model"], "gemini-embedding-001");
    assert_eq!(body["usage"]["total_tokens"], 4);
    // One of its texts has no answer.
    world.google.end(&name, 1, &vector(keys[1], [3.0, 4.0]));
    assert_eq!(world.send(&Call::get(&content)).text(), "");
    let failures = lines(world.send(&Call::get(&content.replace("/content", "_errors/content"))).text());
    assert_eq!(
        (&failures[0]["custom_id"], &failures[0]["response"]["status_code"]),
        (&json!("two"), &json!(500))
    );
}

#[test]
fn a_line_that_cannot_be_translated_is_named() {
    let check = |input: &str, message: &str| {
        let mut world = World::new();
        let (said, param) =
            world.refused(&form(&[("purpose", None, "batch"), ("file", Some("in.jsonl"), input)]), 400);
        assert_eq!(param, "file");
        assert!(said.contains(message), "{said}\nnot {message}");
        assert!(world.google.seen.is_empty(), "Google is not asked");
    };
    let with = |from: &str, to: &str| format!("{CHAT}\n{}", OTHER.replace(from, to));
    check("\n \n", "it holds no requests");
    check("not json", "line 1: it is no request of a batch");
    check(&format!("{CHAT}\n[]"), "line 2: it is no request of a batch");
    check(&with(r#""custom_id":"b","#, ""), "line 2, custom_id: it is missing");
    check(&with(r#""b""#, r#""a""#), "line 2, custom_id: another line has the same");
    check(&with("POST", "GET"), "line 2, method: it has to be 'POST'");
    check(
        &with("/chat/completions", "/completions"),
        "line 2, url: supported values are '/v1/chat/completions'",
    );
    check(&with("/v1/chat/completions", "/v1/responses"), "line 2, body.input: Missing required parameter");
    check(
        &with("gemini-2.5-flash", "gemini-2.5-pro"),
        "line 2, body.model: the model of all lines has to be one",
    );
    check(&with(r#""user""#, r#""nobody""#), "line 2, body.messages[0].role:");
    check(
        &with(
            r#""content":"Ho""#,
            r#""content":[{"type":"image_url","image_url":{"url":"https://a.example/b.png"}}]"#,
        ),
        "line 2, body.messages[0].content[0].image_url.url: files are not fetched for batches",
    );
    check(
        &with(
            r#""parallel_tool_calls":false"#,
            r#""tools":[{"type":"function","function":{"name":"my tool"}}]"#,
        ),
        "line 2, body.tools: in a batch, tools have to be functions",
    );
    check(&with(r#""body""#, r#""bodies""#), "line 2, body: it is missing");
}

#[test]
fn what_is_wrong_with_a_batch_is_named() {
    let mut world = World::new();
    world.upload("batch", "in.jsonl", CHAT);
    world.upload("user_data", "in.jsonl", CHAT);
    let mut check = |body: Value, status: u16, param: Value, message: &str| {
        let (said, at) = world.refused(&Call::post("/v1/batches", body.to_string()), status);
        assert_eq!(at, param, "{said}");
        assert!(said.contains(message), "{said}");
    };
    let chat = "/v1/chat/completions";
    check(
        json!({ "input_file_id": "file-f9", "endpoint": chat }),
        400,
        json!("input_file_id"),
        "No such File object: file-f9",
    );
    check(
        json!({ "input_file_id": "file-f2", "endpoint": chat }),
        400,
        json!("input_file_id"),
        "with the purpose 'batch'",
    );
    check(
        json!({ "input_file_id": "file-f1", "endpoint": "/v1/responses" }),
        400,
        json!("endpoint"),
        "are for '/v1/chat/completions'",
    );
    check(json!({ "endpoint": chat }), 400, json!("input_file_id"), "Missing");
    let (message, _) = world.refused(&Call::get("/v1/batches/batch_unknown"), 404);
    assert_eq!(message, "No batch found with id 'batch_unknown'.");
    let (message, _) = world.refused(&Call::get("/v1/batches/unknown"), 404);
    assert_eq!(message, "No batch found with id 'unknown'.");
}

#[test]
fn a_batch_is_made_where_its_files_are() {
    let mut world = World::new();
    // In another project than the next file would be.
    let shown = json!({ "name": "files/old", "source": "UPLOADED", "displayName": "old.pdf" });
    world.google.objects.insert("files/old".to_owned(), ("p3".to_owned(), shown));
    let line =
        CHAT.replace(r#""content":"Hi""#, r#""content":[{"type":"file","file":{"file_id":"file-old"}}]"#);
    let file = world.upload("batch", "in.jsonl", &line);
    let name = format!("files/{}", &file["id"].as_str().expect("an id")[5..]);
    assert_eq!(world.google.objects[&name].0, "p3");
    create(&mut world, json!({ "input_file_id": file["id"], "endpoint": "/v1/chat/completions" }));
    let batch = world.google.only("batches/");
    assert_eq!(world.google.objects[&batch].0, "p3");
}

#[test]
fn batches_are_listed_and_cancelled_by_their_makers() {
    let mut world = World::new();
    let file = world.upload("batch", "in.jsonl", CHAT);
    let body = json!({ "input_file_id": file["id"], "endpoint": "/v1/chat/completions" });
    let ids: Vec<Value> = (0..3).map(|_| create(&mut world, body.clone())["id"].clone()).collect();
    let list = world.get("/v1/batches?limit=2");
    let listed: Vec<&Value> =
        list["data"].as_array().expect("a list").iter().map(|batch| &batch["id"]).collect();
    assert_eq!((listed, &list["has_more"]), (vec![&ids[2], &ids[1]], &json!(true)));
    let next = world.get(&format!("/v1/batches?after={}", ids[1].as_str().expect("an id")));
    assert_eq!((&next["data"][0]["id"], &next["has_more"]), (&ids[0], &json!(false)));
    let path = format!("/v1/batches/{}/cancel", ids[0].as_str().expect("an id"));
    assert_eq!(world.ask(&Call::post(&path, ""), 200)["status"], "cancelling");
    assert_eq!(world.ask(&others(Call::get("/v1/batches")), 200)["data"], json!([]));
    world.refused(&others(Call::post(&path, "")), 404);
    world.refused(&others(Call::post("/v1/batches", body.to_string())), 400);
}

#[test]
fn batches_of_geminis_own_dialect_are_shown_too() {
    let mut world = World::new();
    let shown = json!({ "name": "batches/native", "metadata": {
        "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.EmbedContentBatch",
        "displayName": "my batch", "state": "BATCH_STATE_FAILED", "createTime": "2026-08-19T14:34:12Z",
    }, "error": { "code": 13, "message": "It failed." } });
    world.google.objects.insert("batches/native".to_owned(), ("p1".to_owned(), shown));
    let batch = world.get("/v1/batches/batch_native");
    assert_eq!((&batch["endpoint"], &batch["status"]), (&json!("/v1/embeddings"), &json!("failed")));
    assert_eq!(batch["errors"]["data"][0]["message"], "It failed.");
    assert_eq!((&batch["input_file_id"], &batch["metadata"]), (&json!(""), &Value::Null));
}
