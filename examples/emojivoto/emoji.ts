/** The emoji service: knows all emoji. Arguments: port, milliseconds to wait before each answer. */
import { setTimeout as sleep } from 'node:timers/promises';
import { GrpcError, serve, status } from './grpc.ts';

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

serve('EmojiService', {
  ListAll: async () => {
    if (delayMs > 0) await sleep(delayMs);
    return { list };
  },
  FindByShortcode: async ({ shortcode }) => {
    if (delayMs > 0) await sleep(delayMs);
    const unicode = emoji[shortcode];
    if (unicode === undefined) throw new GrpcError(status.NOT_FOUND, `no emoji is called ${shortcode}`);
    return { emoji: { shortcode, unicode } };
  },
});
