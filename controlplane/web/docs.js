// Shows openapi.json to people: groups, their operations, the schemas, events and errors. Text becomes
// text nodes only.

const METHODS = ['get', 'post', 'put', 'patch', 'delete', 'options']

/** An element with attributes and children; strings become text. */
function make(name, attributes, ...children) {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  element.append(...children)
  return element
}

/** A table with a head. */
function table(head, rows) {
  const cells = (kind, texts) => make('tr', {}, ...texts.map((text) => make(kind, {}, text)))
  const body = make('tbody', {}, ...rows.map((row) => cells('td', row)))
  const whole = make('table', {}, make('thead', {}, cells('th', head)), body)
  return make('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': head.join(', ') }, whole)
}

const anchor = (text) => text.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')

/** What a schema allows, in one line; a schema of its own is a link. */
function type(schema) {
  if (schema.$ref) {
    const name = schema.$ref.split('/').at(-1)
    return make('a', { href: `#${anchor(`schema ${name}`)}` }, name)
  }
  if (schema.items) return make('span', {}, 'list of ', type(schema.items))
  const options = schema.anyOf ?? schema.oneOf
  if (options) {
    const named = options.filter((one) => one.type !== 'null')
    return make('span', {}, ...named.flatMap((one, index) => (index ? [' or ', type(one)] : [type(one)])))
  }
  if (schema.const !== undefined) return String(schema.const)
  if (schema.enum) return schema.enum.filter((one) => one !== null).join(' or ')
  const kinds = [schema.type ?? 'anything'].flat().filter((one) => one !== 'null')
  return kinds.join(' or ')
}

/** What a request or a response carries. */
function content(carried) {
  const parts = Object.entries(carried ?? {}).flatMap(([media, { schema }]) => [
    make('br', {}), `${media}: `, type(schema),
  ])
  return parts.slice(1)
}

function operation(method, path, described) {
  const name = make('span', { class: 'method' }, method.toUpperCase())
  const title = make('span', {}, ` ${described.summary}`)
  const all = make('details', { id: described.operationId }, make('summary', {}, name, make('code', {}, path), title))
  if (described.description) all.append(make('p', {}, described.description))
  if (described.security?.length === 0) all.append(make('p', {}, 'Takes requests without a secret.'))
  const fields = (described.parameters ?? []).map((one) => [one.name, one.in, one.description])
  if (fields.length) all.append(make('h3', {}, 'Parameters'), table(['name', 'in', 'what it is'], fields))
  if (described.requestBody) {
    const kind = described.requestBody.required ? 'Body' : 'Body, if any'
    all.append(make('h3', {}, kind), make('p', {}, ...content(described.requestBody.content)))
  }
  const replies = Object.entries(described.responses).map(([status, reply]) => [
    status, reply.description.replaceAll('`', ''), make('span', {}, ...content(reply.content)),
  ])
  all.append(make('h3', {}, 'Replies'), table(['status', 'meaning', 'body'], replies))
  return all
}

function schema(name, described) {
  const all = make('details', { id: anchor(`schema ${name}`) }, make('summary', {}, make('code', {}, name)))
  if (described.description) all.append(make('p', {}, described.description))
  const needed = new Set(described.required ?? [])
  const rows = Object.entries(described.properties ?? {}).map(([field, one]) => [
    field, type(one), needed.has(field) ? 'always' : '', one.description ?? '',
  ])
  const words = (described.oneOf ?? []).filter((one) => one.const !== undefined)
  if (rows.length) all.append(table(['field', 'type', 'there', 'what it is'], rows))
  else if (words.length) all.append(table(['word', 'meaning'], words.map((one) => [one.const, one.description])))
  else all.append(make('p', {}, type(described)))
  return all
}

function section(title, ...children) {
  document.querySelector('#contents').append(make('a', { href: `#${anchor(title)}` }, title))
  const heading = make('h2', { id: anchor(title) }, title)
  document.querySelector('#groups').append(make('section', { 'aria-labelledby': anchor(title) }, heading, ...children))
}

/** Opens what the address names. */
function open() {
  const named = document.getElementById(location.hash.slice(1))
  if (named instanceof HTMLDetailsElement) {
    named.open = true
    named.scrollIntoView()
  }
}

function show(api) {
  document.querySelector('#about').textContent = api.info.description.replaceAll('`', '')
  const groups = new Map()
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((one) => methods[one])) {
      const described = methods[method]
      const group = groups.get(described.tags[0]) ?? []
      group.push(operation(method, path, described))
      groups.set(described.tags[0], group)
    }
  }
  for (const title of ['Sessions', 'Tracks', 'Data channels', 'Streams', 'Events', 'Webhooks', 'Usage', 'Account', 'Server']) {
    section(title, ...(groups.get(title) ?? []))
    groups.delete(title)
  }
  for (const [title, operations] of groups) section(title, ...operations)
  const events = api['x-events'].map((one) => [one.type, one.meaning, one.fields.join(', ')])
  section('Event types', table(['type', 'meaning', 'fields beyond those of all'], events))
  section('What webhooks get', operation('post', 'to the webhook', api.webhooks.event.post))
  const errors = api['x-errors'].map((one) => [String(one.status), one.errorCode, one.meaning, one.field])
  section('Errors', table(['status', 'errorCode', 'meaning', 'field'], errors))
  section('Schemas', ...Object.entries(api.components.schemas).map(([name, one]) => schema(name, one)))
  addEventListener('hashchange', open)
  open()
}

try {
  show(await (await fetch('v1/openapi.json')).json())
} catch (error) {
  document.querySelector('#about').textContent = `The document of the API was not read: ${error.message}`
}
