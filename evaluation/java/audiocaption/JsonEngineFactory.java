package audiocaption;

import java.io.Reader;
import java.util.Collections;
import java.util.List;
import javax.script.AbstractScriptEngine;
import javax.script.Bindings;
import javax.script.ScriptContext;
import javax.script.ScriptEngine;
import javax.script.ScriptEngineFactory;
import javax.script.SimpleBindings;

/**
 * Stands in for the JavaScript engine that Java lost with version 15.
 *
 * SPICE 1.0 runs one script in its life, which indents the JSON text in the variable jsonString and leaves it in the
 * variable result. Whoever reads that file does not need the indents, so here the text is handed over as it is.
 */
public final class JsonEngineFactory implements ScriptEngineFactory {
    private static final class Engine extends AbstractScriptEngine {
        @Override
        public Object eval(String script, ScriptContext context) {
            Bindings variables = context.getBindings(ScriptContext.ENGINE_SCOPE);
            variables.put("result", variables.get("jsonString"));
            return variables.get("result");
        }

        @Override
        public Object eval(Reader script, ScriptContext context) {
            return eval("", context);
        }

        @Override
        public Bindings createBindings() {
            return new SimpleBindings();
        }

        @Override
        public ScriptEngineFactory getFactory() {
            return new JsonEngineFactory();
        }
    }

    @Override
    public List<String> getNames() {
        return Collections.singletonList("JavaScript");
    }

    @Override
    public ScriptEngine getScriptEngine() {
        return new Engine();
    }

    @Override
    public String getEngineName() {
        return "JSON as it is, for SPICE";
    }

    @Override
    public String getEngineVersion() {
        return "1";
    }

    @Override
    public String getLanguageName() {
        return "none";
    }

    @Override
    public String getLanguageVersion() {
        return "1";
    }

    @Override
    public List<String> getExtensions() {
        return Collections.emptyList();
    }

    @Override
    public List<String> getMimeTypes() {
        return Collections.emptyList();
    }

    @Override
    public Object getParameter(String key) {
        return null; // a null THREADING says: not safe to share between threads
    }

    @Override
    public String getMethodCallSyntax(String object, String method, String... arguments) {
        throw new UnsupportedOperationException("there is no language behind this engine");
    }

    @Override
    public String getOutputStatement(String text) {
        throw new UnsupportedOperationException("there is no language behind this engine");
    }

    @Override
    public String getProgram(String... statements) {
        throw new UnsupportedOperationException("there is no language behind this engine");
    }
}
