// Shows /asyncapi.json as a page. Whatever it says is text: nothing of it becomes markup.
const main = document.querySelector("main");

function put(parent, name, text = "") {
  const made = parent.appendChild(document.createElement(name));
  made.textContent = text;
  return made;
}

function last(reference) {
  return decodeURIComponent(reference.split("/").pop());
}

function show(contracts) {
  document.title = contracts.info.title;
  put(main, "h1", `${contracts.info.title} ${contracts.info.version}`);
  put(main, "p", contracts.info.description);
  for (const [action, title] of [["send", "Sends"], ["receive", "Receives"]]) {
    put(main, "h2", title);
    for (const operation of Object.values(contracts.operations)) {
      if (operation.action === action) showEvent(contracts, operation);
    }
  }
}

function showEvent(contracts, operation) {
  const channel = contracts.channels[last(operation.channel.$ref)];
  const details = put(main, "details");
  const summary = put(details, "summary");
  put(summary, "code", channel.address);
  put(summary, "span", ` ${operation.summary}`);
  put(details, "p", `Exchange ${channel.bindings.amqp.exchange.name}, routing key ${channel.address}.`);
  for (const name of operation.messages.map((each) => last(each.$ref))) {
    const message = contracts.components.messages[name];
    const schema = contracts.components.schemas[name];
    put(details, "h3", `${name} (${message.contentType})`);
    if (schema) put(details, "pre", `data: ${JSON.stringify(schema, null, 2)}`);
    if (schema) put(details, "pre", `example: ${JSON.stringify(message.examples[0].payload, null, 2)}`);
    else put(details, "p", message.summary);
  }
}

fetch("/asyncapi.json").then((answer) => answer.json()).then(show, (error) => put(main, "p", String(error)));
