package audiocaption;

import edu.anu.spice.SpiceParser;
import edu.anu.spice.SpiceScorer;
import java.io.FileReader;
import java.io.IOException;
import java.io.Reader;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.json.simple.JSONArray;
import org.json.simple.JSONObject;
import org.json.simple.parser.JSONParser;

/**
 * Runs SPICE 1.0 so that one sees how far it is, and so that a run cut short is not lost.
 *
 * SPICE parses all captions in one go of some minutes and stores the parses at the end of it. Here they are parsed into
 * its cache block by block, with a line on stderr after each ("parsed 200 of 6270"), before SPICE itself is called and
 * finds them there. The program ends when its standard input does, so that none outlives the command that started it.
 *
 * Arguments: input file, output file, cache folder, number of threads.
 */
public final class SpiceWithProgress {
    private static final int BLOCK = 100;

    private SpiceWithProgress() {}

    public static void main(String[] arguments) throws Exception {
        endWithStandardInput();
        String input = arguments[0], output = arguments[1], cache = arguments[2], threads = arguments[3];
        List<String> captions = new ArrayList<>(readCaptions(input));
        SpiceParser parser = new SpiceParser(cache, Integer.parseInt(threads), true);
        for (int start = 0; start < captions.size(); start += BLOCK) {
            int end = Math.min(start + BLOCK, captions.size());
            parser.parseCaptions(captions.subList(start, end));
            System.err.println("parsed " + end + " of " + captions.size());
        }
        SpiceScorer.main(new String[] {
            input, "-out", output, "-cache", cache, "-threads", threads, "-subset", "-silent"
        });
    }

    private static Set<String> readCaptions(String input) throws Exception {
        Set<String> captions = new LinkedHashSet<>();
        try (Reader reader = new FileReader(input)) {
            for (Object item : (JSONArray) new JSONParser().parse(reader)) {
                JSONObject clip = (JSONObject) item;
                for (Object reference : (JSONArray) clip.get("refs")) {
                    captions.add((String) reference);
                }
                captions.add((String) clip.get("test"));
            }
        }
        return captions;
    }

    private static void endWithStandardInput() {
        Thread watcher = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {}
            } catch (IOException closed) {
                // the same as its end
            }
            Runtime.getRuntime().halt(3);
        });
        watcher.setDaemon(true);
        watcher.start();
    }
}
