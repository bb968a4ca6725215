// How a folder's connection is asked for, as both ends know it: otactl opens `GET /v1/folder/<id>` with this upgrade on the
// control socket, and answers otad's plain GET requests (with `Range`) for files below the folder on it.

export const folderProtocol = 'otad-folder';
/** Made by the one that offers, and named in the order to install. */
export const folderIdPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** Longest path that is shown for a folder. */
export const folderPathCharsMax = 200;
