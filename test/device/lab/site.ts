// The network that a gateway of the lab finds: the static server with the signed releases, and a line to it that counts
// bytes, can be slow, and can be cut. The emulator shows the host's loopback to its guest as 10.0.2.2.

import { createStaticServer } from '../../../publish/serving/static-server.ts';
import { createLink, type Link } from '../../e2e/link.ts';

export interface Site {
  /** As the guest has to say it. */
  readonly url: string;
  readonly link: Link;
  close(): Promise<void>;
}

export const openSite = async (repositoryFolder: string): Promise<Site> => {
  const server = await createStaticServer(repositoryFolder);
  const link = await createLink(server.port);
  return {
    link,
    url: `http://10.0.2.2:${link.port}/`,
    close: async () => {
      link.close();
      await server.close();
    },
  };
};
