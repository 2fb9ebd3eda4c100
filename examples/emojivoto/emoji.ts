/** The emoji service: knows all emoji. Arguments: port, milliseconds to wait before each answer. */
import { setTimeout as sleep } from 'node:timers/promises';
import { serve } from './app.ts';

const emoji: Readonly<Record<string, string>> = {
  ':doughnut:': '🍩',
  ':taco:': '🌮',
  ':beer:': '🍺',
  ':burrito:': '🌯',
  ':cat2:': '🐈',
  ':dog:': '🐶',
  ':ghost:': '👻',
  ':jack_o_lantern:': '🎃',
  ':mask:': '😷',
  ':money_mouth_face:': '🤑',
  ':octopus:': '🐙',
  ':pizza:': '🍕',
  ':point_up_2:': '👆',
  ':poop:': '💩',
  ':rocket:': '🚀',
  ':snail:': '🐌',
  ':sunglasses:': '😎',
  ':trophy:': '🏆',
  ':umbrella:': '☔',
  ':wave:': '👋',
};
const list = Object.entries(emoji).map(([shortcode, unicode]) => ({ shortcode, unicode }));
const delayMs = Number(process.argv[3] ?? 0);

serve(async (method, url) => {
  if (delayMs > 0) await sleep(delayMs);
  const [, collection, shortcode] = url.pathname.split('/');
  if (method !== 'GET' || collection !== 'emoji') return { status: 404, body: { error: 'not found' } };
  if (shortcode === undefined) return { status: 200, body: list };
  const unicode = emoji[shortcode];
  if (unicode === undefined) return { status: 404, body: { error: `no emoji is called ${shortcode}` } };
  return { status: 200, body: { shortcode, unicode } };
});
