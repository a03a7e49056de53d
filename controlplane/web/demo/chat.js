// The chat panel: messages, who came and went, and how many were not seen. Texts of others are
// never read as HTML.

const $ = (id) => document.getElementById(id);
/** Lines that are kept. */
const LINES_MAX = 500;

export class Chat {
  #unread = 0;
  #panel = $('chat');
  #log = $('messages');

  /** `say(text)` sends a message and returns whether it left; `moved()` hears that the panel's
   * place changed. */
  constructor(say, moved) {
    this.#log.replaceChildren();
    this.#show(false);
    $('chat-open').onclick = () => { this.#show(this.#panel.hidden); moved(); };
    $('chat-close').onclick = () => { this.#shut(); moved(); };
    this.#panel.onkeydown = (event) => {
      if (event.key === 'Escape') { this.#shut(); moved(); }
    };
    $('chat-form').onsubmit = (event) => {
      event.preventDefault();
      const input = $('message');
      const text = input.value.trim();
      if (!text) return;
      if (say(text)) {
        this.add('You', text, true);
        input.value = '';
      } else {
        this.note('Not sent: there is no connection at the moment.');
      }
    };
  }

  /** A message. */
  add(name, text, own = false) {
    const line = document.createElement('p');
    line.className = own ? 'message own' : 'message';
    const who = document.createElement('b');
    who.textContent = name;
    const when = document.createElement('time');
    when.textContent = new Date().toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
    const what = document.createElement('span');
    what.textContent = text;
    line.append(who, ' ', when, what);
    this.#append(line);
    if (this.#panel.hidden && !own) this.#count(this.#unread + 1);
  }

  /** Something that happened. */
  note(text) {
    const line = document.createElement('p');
    line.className = 'event';
    line.textContent = text;
    this.#append(line);
  }

  #append(line) {
    this.#log.append(line);
    while (this.#log.childElementCount > LINES_MAX) this.#log.firstElementChild.remove();
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  #shut() {
    this.#show(false);
    $('chat-open').focus();
  }

  #show(open) {
    this.#panel.hidden = !open;
    $('chat-open').setAttribute('aria-expanded', String(open));
    if (!open) return;
    this.#count(0);
    this.#log.scrollTop = this.#log.scrollHeight;
    $('message').focus();
  }

  #count(unread) {
    this.#unread = unread;
    $('unread').hidden = !unread;
    $('unread').textContent = unread > 99 ? '99+' : String(unread);
    const label = unread ? `Chat, ${unread} unread` : 'Chat';
    $('chat-open').setAttribute('aria-label', label);
  }
}
